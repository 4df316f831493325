"""`paring plan`: the estimate for a run, for the other kinds of training beside it, and what would fit."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from paring.config import AnyRun
from paring.planning import parts
from paring.planning.advice import Change, changes
from paring.planning.estimate import Estimate, Machine, estimate
from paring.planning.from_run import job_of, machine_of
from paring.planning.job import KINDS, Job, Kind, Rollouts
from paring.planning.search import largest
from paring.planning.shapes import Linear, Shapes, on_meta, shapes_of, targets_of
from paring.policy.loading import read_config

Sought = Literal["batch", "rank"]
LARGEST_BATCH = 2**16
"""Where the search for a batch ends: memory hardly grows with it once passes and rows are bounded."""


@dataclass(frozen=True)
class Found:
    """The largest batch or rank that fits, 0 if none does; `limit` is where the search ended."""

    key: str
    value: int
    limit: int


@dataclass(frozen=True)
class Plan:
    """What `paring plan` says. `estimates`: by kind, the run's own first."""

    shapes: Shapes
    job: Job
    machine: Machine
    estimates: dict[Kind, Estimate]
    trained: dict[Kind, int]
    changes: list[Change]
    found: Found | None

    @property
    def own(self) -> Estimate:
        return self.estimates[self.job.kind]

    @property
    def fits(self) -> bool:
        return self.own.peak <= self.machine.usable

    def as_plain(self) -> dict[str, Any]:
        return {
            "model": self.shapes.name,
            "parameters": self.shapes.parameters,
            "kind": self.job.kind,
            "rank": self.job.rank,
            "work": asdict(self.job.work),
            "tokens_of_the_largest_pass": self.job.largest_pass.tokens,
            "machine": {"name": self.machine.name, "memory": self.machine.memory, "usable": self.machine.usable},
            "peak": self.own.peak,
            "fits": self.fits,
            "kinds": {
                kind: {"trained": self.trained[kind], "peak": one.peak, "moment": one.moment, "parts": one.parts}
                for kind, one in self.estimates.items()
            },
            "changes": [asdict(change) for change in self.changes],
            "found": asdict(self.found) if self.found else None,
        }


def plan(
    run: AnyRun,
    *,
    memory_gb: float | None = None,
    kind: Kind | None = None,
    find: Sought | None = None,
    prompt: int | None = None,
) -> Plan:
    """Estimate the peak memory of a run from its settings and the model's configuration; no weights are read.

    Args:
        memory_gb: of the hardware to plan for, in 10^9 bytes; by default that of this machine.
        kind: of training; by default that of the run's adapter.
        find: also the largest batch, or rank, that fits.
        prompt: tokens of a prompt; by default 128, or what the context leaves.
    Raises ValueError where the model's configuration cannot be read, nothing in it can carry an adapter, or lengths do
    not fit its context."""
    kind = kind or run.adapter.kind
    model = on_meta(read_config(run.model))
    shapes, machine = shapes_of(model), machine_of(run, memory_gb)
    try:
        targets = targets_of(model, run.adapter.targets)
    except ValueError:
        if kind != "full":
            raise
        targets = ()

    def job(run: AnyRun, kind: Kind = kind) -> Job:
        return job_of(run, shapes, targets, kind, prompt=prompt)

    kinds = [kind, *(other for other in KINDS if other != kind and (targets or other == "full"))]
    jobs = {one: job(run, one) for one in kinds}
    own = jobs[kind]
    return Plan(
        shapes,
        own,
        machine,
        {one: estimate(shapes, jobs[one], machine) for one in kinds},
        {one: parts.trained(shapes, jobs[one]) for one in kinds},
        changes(
            run,
            lambda run: estimate(shapes, job(run), machine),
            machine.usable,
            parts.activations(shapes, own),
            bounded=shapes.written_out,
        ),
        search(shapes, own, machine, find) if find else None,
    )


def search(shapes: Shapes, job: Job, machine: Machine, find: Sought) -> Found:
    """Raises ValueError where rank decides nothing."""

    def fits(job: Job) -> bool:
        return estimate(shapes, job, machine).peak <= machine.usable

    if find == "batch":
        key = "rollout.problems" if isinstance(job.work, Rollouts) else "batch"
        value = largest(lambda batch: fits(replace(job, work=job.work.of_batch(batch))), LARGEST_BATCH)
        return Found(key, value, LARGEST_BATCH)
    if job.kind == "full":
        raise ValueError("--find rank: full training has no rank; choose --kind lora or l1ra, or --find batch")
    limit = highest_rank(job.targets)
    return Found("adapter.rank", largest(lambda rank: fits(replace(job, rank=rank)), limit), limit)


def highest_rank(targets: tuple[Linear, ...]) -> int:
    """Beyond it no module's update could have a higher rank."""
    return max(min(module.inputs, module.outputs) for module in targets)
