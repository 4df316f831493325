"""A job as a SkyPilot task."""

from dataclasses import dataclass

from paring.clusters.cluster_job import ClusterJob, plain_word
from paring.clusters.node_script import node_script
from paring.clusters.yaml_text import Tree, yaml_text


@dataclass(frozen=True)
class SkyOptions:
    """Options of SkyPilot alone: the kind of GPU, by its name, and a volume of SkyPilot's for the shared folder.

    Raises ValueError."""

    accelerator: str
    volume: str | None = None

    def __post_init__(self) -> None:
        plain_word("--accelerator", self.accelerator)
        if self.volume is not None:
            plain_word("--volume", self.volume)


def skypilot_task(job: ClusterJob, options: SkyOptions) -> str:
    """For `sky launch`."""
    resources: dict[str, Tree] = {"accelerators": f"{options.accelerator}:{job.gpus}"}
    resources |= {} if job.cpus is None else {"cpus": f"{job.cpus}+"}
    resources |= {} if job.image is None else {"image_id": f"docker:{job.image}"}
    hosts, word = "HOSTS=\"${SKYPILOT_NODE_IPS//$'\\n'/ }\"", 'JOB="${SKYPILOT_TASK_ID//[^A-Za-z0-9-]/-}"'
    task: dict[str, Tree] = {"name": job.name, "num_nodes": job.nodes, "resources": resources}
    task |= {} if options.volume is None else {"volumes": {job.shared: options.volume}}
    task |= {"secrets": {"VLLM_API_KEY": None}} if job.servers else {}
    task |= {"run": f"NODE=$SKYPILOT_NODE_RANK {hosts} {word}\n{node_script(job)}"}
    secret = " --secret VLLM_API_KEY" if job.servers else ""
    start = f"# Start it by:  sky launch{secret} {job.name}.sky.yaml   Started again, the run goes on.\n"
    return start + yaml_text(task)
