"""A job as a Slurm batch script."""

from dataclasses import dataclass
from shlex import join

from paring.clusters.cluster_job import ClusterJob, plain_word
from paring.clusters.node_script import end_of, node_script

SAVING_SECONDS = 120
"""Before its time is over, a job is told to save and end."""


@dataclass(frozen=True)
class SlurmOptions:
    """Options of Slurm alone. `time`: as sbatch takes it, such as 12:00:00. Raises ValueError."""

    partition: str | None = None
    account: str | None = None
    time: str | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None:
                plain_word(f"--{name}", value)


def slurm_script(job: ClusterJob, options: SlurmOptions) -> str:
    """For sbatch. Without VLLM_API_KEY in its environment, the job makes a key of its own."""
    given = {
        "job-name": job.name,
        "nodes": job.nodes,
        "ntasks-per-node": 1,
        "gpus-per-node": job.gpus,
        "cpus-per-task": job.cpus,
        "partition": options.partition,
        "account": options.account,
        "time": options.time,
        "signal": f"TERM@{SAVING_SECONDS}",
        "output": f"{job.name}-%j.log",
    }
    lines = [f"#SBATCH --{name}={value}" for name, value in given.items() if value is not None]
    step = ["srun", "--kill-on-bad-exit=1"]
    step += [] if job.cpus is None else [f"--cpus-per-task={job.cpus}"]
    if job.image is not None:
        step += [f"--container-image={job.image}", f"--container-mounts={job.shared}:{job.shared}"]
    key = 'VLLM_API_KEY="${VLLM_API_KEY:-$(od -An -N16 -tx1 /dev/urandom | tr -d " \\n")}"'
    node = f"NODE=$SLURM_NODEID JOB=$SLURM_JOB_ID\n{node_script(job)}"
    end = end_of(node, "END_OF_NODE")
    return "\n".join(
        [
            "#!/bin/bash",
            *lines,
            f"# Submit it by:  sbatch {job.name}.sbatch   Submitted again, the run goes on.",
            "set -euo pipefail",
            *([f"export {key}"] if job.servers else []),
            'HOSTS="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | paste -sd " " -)"',
            "export HOSTS",
            f"IFS= read -r -d '' script << '{end}' || true",
            f"{node}{end}",
            f'{join(step)} bash -c "$script"',
            "",
        ]
    )
