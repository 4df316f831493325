"""`paring launch`."""

import re
import shlex
from pathlib import Path
from typing import Annotated

import typer

from paring.commands.shared import Overrides, one_of, parsed

TOOLS = ("slurm", "skypilot", "ray", "kubernetes")
SUFFIXES = {"slurm": "sbatch", "skypilot": "sky.yaml", "ray": "ray.py", "kubernetes": "k8s.yaml"}
OWN = {
    **dict.fromkeys(("partition", "account", "time"), ("slurm",)),
    **dict.fromkeys(("secret", "namespace"), ("kubernetes",)),
    "accelerator": ("skypilot",),
    "volume": ("skypilot", "kubernetes"),
}
"""Options that some tools alone take."""
NEEDED = {"skypilot": "accelerator", "kubernetes": "volume"}


def launch(
    recipe: Annotated[str, typer.Argument(help="A recipe's name or a TOML file; see `paring recipes`.")],
    overrides: Overrides = None,
    tool: Annotated[str, typer.Option("--print", help="slurm, skypilot, ray or kubernetes.")] = "slurm",
    shared: Annotated[str, typer.Option(help="A folder that all nodes see; the run lies in it.")] = "",
    out: Annotated[Path | None, typer.Option(help="A folder to write the file into; without it, it is shown.")] = None,
    name: Annotated[
        str | None, typer.Option(help="The name of the job and of the run's folder; by default the recipe's.")
    ] = None,
    nodes: Annotated[int, typer.Option(min=1, help="Machines.")] = 1,
    gpus: Annotated[int, typer.Option(min=1, help="GPUs of each.")] = 1,
    rollout_gpus: Annotated[int, typer.Option(min=0, help="GPUs that serve, on each node that trains.")] = 0,
    rollout_nodes: Annotated[int, typer.Option(min=0, help="Nodes that only serve.")] = 0,
    server_gpus: Annotated[int, typer.Option(min=1, help="GPUs of one server.")] = 1,
    cpus: Annotated[int | None, typer.Option(min=1, help="CPUs of each node.")] = None,
    context: Annotated[
        int | None, typer.Option(min=2, help="Tokens of prompt and answer; by default 1024 more than the answer's.")
    ] = None,
    port: Annotated[int, typer.Option(min=1024, help="The port of a node's first server.")] = 8000,
    setup: Annotated[str, typer.Option(help="Shell lines for each node, such as `source venv/bin/activate`.")] = "",
    vllm: Annotated[str, typer.Option(help="The command that starts a server.")] = "vllm serve",
    image: Annotated[str | None, typer.Option(help="A container's image.")] = None,
    volume: Annotated[str | None, typer.Option(help="SkyPilot's volume or Kubernetes' claim for --shared.")] = None,
    accelerator: Annotated[str | None, typer.Option(help="SkyPilot's name of the GPUs, such as H100.")] = None,
    partition: Annotated[str | None, typer.Option(help="Slurm's.")] = None,
    account: Annotated[str | None, typer.Option(help="Slurm's.")] = None,
    time: Annotated[str | None, typer.Option(help="Slurm's limit, such as 12:00:00.")] = None,
    secret: Annotated[
        str | None, typer.Option(help="Kubernetes' Secret with the servers' key; by default paring.")
    ] = None,
    namespace: Annotated[str | None, typer.Option(help="Kubernetes'.")] = None,
) -> None:
    """Write the file by which a cluster's own tool starts trainers and servers (docs/clusters.md)."""
    from paring.clusters.cluster_job import ClusterJob
    from paring.clusters.kubernetes_job import KubernetesOptions, kubernetes_job
    from paring.clusters.ray_driver import ray_driver
    from paring.clusters.skypilot_task import SkyOptions, skypilot_task
    from paring.clusters.slurm_job import SlurmOptions, slurm_script
    from paring.runtime.files import write_durably
    from paring.training.config import load_run

    chosen = one_of("--print", tool, TOOLS)
    given = {"partition": partition, "account": account, "time": time, "accelerator": accelerator}
    given |= {"volume": volume, "secret": secret, "namespace": namespace}
    given = {option: value for option, value in given.items() if value is not None}
    for option in given:
        if chosen not in OWN[option]:
            raise ValueError(f"--{option}: an option of --print {' or '.join(OWN[option])}; leave it out")
    if not shared:
        raise ValueError("--shared: name the folder that all nodes see; the run will lie in it")
    if (needed := NEEDED.get(tool)) is not None and needed not in given:
        raise ValueError(f"--{needed}: --print {tool} needs it")
    stem = re.sub(r"[^a-z0-9]+", "-", Path(recipe).stem.lower()).strip("-")
    job = ClusterJob(
        name or stem[:40].strip("-") or "run",
        load_run(recipe, **parsed(overrides)),
        shared,
        *(nodes, gpus, rollout_nodes, rollout_gpus, server_gpus),
        *(setup, tuple(shlex.split(vllm)), context, port, cpus, image),
    )
    if chosen == "slurm":
        text = slurm_script(job, SlurmOptions(**given))
    elif chosen == "skypilot":
        text = skypilot_task(job, SkyOptions(**given))
    elif chosen == "kubernetes":
        text = kubernetes_job(job, KubernetesOptions(**given))
    else:
        text = ray_driver(job)
    if out is None:
        print(text, end="")
        return
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"{job.name}.{SUFFIXES[tool]}"
    write_durably(file, text.encode())
    print(f"{file}: {job}")
