"""A job as an indexed Job of Kubernetes, a pod a node, with a Service that gives the pods their names."""

from dataclasses import dataclass

from paring.clusters.cluster_job import ClusterJob, plain_word
from paring.clusters.node_script import node_script
from paring.clusters.yaml_text import Tree, yaml_text

GRACE_SECONDS = 120


@dataclass(frozen=True)
class KubernetesOptions:
    """Options of Kubernetes alone: the claim of a volume for the shared folder, and the Secret whose entry
    VLLM_API_KEY is the servers' key. Raises ValueError."""

    volume: str
    secret: str = "paring"
    namespace: str | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None:
                plain_word(f"--{name}", value)


def kubernetes_job(job: ClusterJob, options: KubernetesOptions) -> str:
    """For `kubectl apply`. Raises ValueError without an image."""
    if job.image is None:
        raise ValueError("--image: Kubernetes needs the image of a container with paring, and vLLM where servers run")
    hosts = " ".join(f"{job.name}-{rank}.{job.name}" for rank in range(job.nodes))
    words = f'NODE=$JOB_COMPLETION_INDEX HOSTS="{hosts}"\n'
    words += f"until getent hosts {job.name}-0.{job.name} > /dev/null; do sleep 1; done\n"
    uid = {"fieldRef": {"fieldPath": "metadata.labels['batch.kubernetes.io/controller-uid']"}}
    environment: list[Tree] = [{"name": "JOB", "valueFrom": uid}]
    if job.servers:
        key = {"secretKeyRef": {"name": options.secret, "key": "VLLM_API_KEY"}}
        environment.append({"name": "VLLM_API_KEY", "valueFrom": key})
    limits: dict[str, Tree] = {"nvidia.com/gpu": job.gpus}
    limits |= {} if job.cpus is None else {"cpu": job.cpus}
    container: dict[str, Tree] = {
        "name": "node",
        "image": job.image,
        "command": ["bash", "-c"],
        "args": [words + node_script(job)],
        "env": environment,
        "resources": {"limits": limits},
        "volumeMounts": [{"name": "shared", "mountPath": job.shared}, {"name": "memory", "mountPath": "/dev/shm"}],
    }
    pod: dict[str, Tree] = {
        "subdomain": job.name,
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "containers": [container],
        "volumes": [
            {"name": "shared", "persistentVolumeClaim": {"claimName": options.volume}},
            {"name": "memory", "emptyDir": {"medium": "Memory"}},
        ],
    }
    place: dict[str, Tree] = {"name": job.name}
    place |= {} if options.namespace is None else {"namespace": options.namespace}
    label = {"paring-job": job.name}
    service: dict[str, Tree] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": place,
        "spec": {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": label},
    }
    indexed: dict[str, Tree] = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": place,
        "spec": {
            "completions": job.nodes,
            "parallelism": job.nodes,
            "completionMode": "Indexed",
            "backoffLimit": 0,
            "template": {"metadata": {"labels": label}, "spec": pod},
        },
    }
    start = (
        f"# Start it by:  kubectl create -f {job.name}.k8s.yaml   By  kubectl replace --force -f  the run goes on.\n"
    )
    if job.servers:
        secret = f"kubectl create secret generic {options.secret} --from-literal=VLLM_API_KEY=..."
        start += f"# The servers' key, once:  {secret}\n"
    return start + yaml_text(service) + "---\n" + yaml_text(indexed)
