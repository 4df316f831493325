"""`paring plan`: the estimate for a run and for the other kinds of training, and what would fit."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Literal, get_args

from paring.adapters.coverage import coverage
from paring.planning import parts
from paring.planning.advice import Change, savings
from paring.planning.division import Division, check_division, division_of
from paring.planning.estimate import Estimate, estimate
from paring.planning.hardware import Machine, machine_of
from paring.planning.job import KINDS, Job, Kind, Rollouts, job_of
from paring.planning.shapes import Shapes, on_meta, shapes_of, targets_of
from paring.planning.teachers import teacher_of
from paring.policy.loading import read_config
from paring.policy.sharding import layers_of
from paring.training.config import AnyRun
from paring.types import Json

Sought = Literal["batch", "rank"]
SOUGHT: tuple[Sought, ...] = get_args(Sought)
LARGEST_BATCH = 2**16
"""Where the search for a batch ends: memory hardly grows with it once passes and rows are bounded."""


@dataclass(frozen=True)
class Largest:
    """The largest batch or rank that fits, 0 if none does; `limit` is where the search ended."""

    key: str
    value: int
    limit: int


@dataclass(frozen=True)
class Plan:
    """The output of `paring plan`. `estimates`: by kind, the run's own first."""

    shapes: Shapes
    job: Job
    machine: Machine
    estimates: dict[Kind, Estimate]
    trained: dict[Kind, int]
    changes: list[Change]
    largest: Largest | None
    coverage: dict[str, float]
    """The share of the model's matrix parameters by what stands on them (adapters/coverage.py)."""
    division: Division | None = None
    """Among several processes."""

    @property
    def own(self) -> Estimate:
        return self.estimates[self.job.kind]

    @property
    def fits(self) -> bool:
        return self.own.peak <= self.machine.usable

    def as_plain(self) -> dict[str, Json]:
        return {
            "model": self.shapes.name,
            "parameters": self.shapes.parameters,
            "kind": self.job.kind,
            "rank": self.job.rank,
            "ranks": dict(self.job.ranks),
            "coverage": dict(self.coverage),
            "packed": self.job.packed,
            "processes": self.job.processes,
            "division": asdict(self.division) if self.division else None,
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
            "found": asdict(self.largest) if self.largest else None,
        }


def plan(
    run: AnyRun,
    *,
    memory_gb: float | None = None,
    kind: Kind | None = None,
    find: Sought | None = None,
    prompt: int | None = None,
    processes: int = 1,
) -> Plan:
    """Estimate the peak memory of a run from its settings and the model's configuration; no weights are read.

    memory_gb   of the hardware, in 10^9 bytes; by default this machine's
    kind        of training; by default that of the run's adapter
    find        also the largest batch, or rank, that fits
    prompt      tokens of a prompt; by default 128, or as many as the context leaves
    processes   that train together; memory is then that of the one that has most
    Raises ValueError where the configuration of the model, or of its teacher, cannot be read, nothing in it can carry
    an adapter, lengths do not fit its context, or the run cannot be divided among the processes."""
    check_division(run, processes)
    own: Kind = kind or run.adapter.kind
    model = on_meta(read_config(run.model))
    if run.parallel.shard != "none":
        layers_of(model)
    shapes, machine, teacher = shapes_of(model), machine_of(run, memory_gb, processes), teacher_of(run)
    try:
        targets = targets_of(model, run.adapter.targets)
    except ValueError:
        if own != "full":
            raise
        targets = ()

    def job_as(run: AnyRun, kind: Kind) -> Job:
        check_division(run, processes)  # also what would save memory must be a run
        return job_of(run, shapes, targets, kind, prompt=prompt, teacher=teacher, processes=processes)

    def estimated(run: AnyRun) -> Estimate:
        return estimate(shapes, job_as(run, own), machine)

    kinds: list[Kind] = [own, *(other for other in KINDS if other != own and (targets or other == "full"))]
    jobs: dict[Kind, Job] = {one: job_as(run, one) for one in kinds}
    most = parts.activations(shapes, jobs[own])
    return Plan(
        shapes,
        jobs[own],
        machine,
        {one: estimate(shapes, job, machine) for one, job in jobs.items()},
        {one: parts.trained(shapes, job) for one, job in jobs.items()},
        savings(run, estimated, machine.usable, most, bounded=shapes.written_out),
        search(shapes, jobs[own], machine, find) if find else None,
        coverage(model, [model.get_submodule(one.path) for one in jobs[own].targets]),
        division_of(run, shapes, jobs[own]) if processes > 1 else None,
    )


def search(shapes: Shapes, job: Job, machine: Machine, find: Sought) -> Largest:
    """Raises ValueError where rank decides nothing."""

    def fits(job: Job) -> bool:
        return estimate(shapes, job, machine).peak <= machine.usable

    if find == "batch":
        key = "rollout.problems" if isinstance(job.work, Rollouts) else "batch"
        name = key.rpartition(".")[2]

        def of_size(size: int) -> Job:
            return replace(job, work=replace(job.work, **{name: size}).share(job.processes))

        value = largest(lambda size: fits(of_size(size)), LARGEST_BATCH)
        return Largest(key, value, LARGEST_BATCH)
    if job.kind == "full":
        raise ValueError("--find rank: full training has no rank; choose --kind lora or l1ra, or --find batch")
    if job.ranks:
        raise ValueError("--find rank: adapter.ranks gives the ranks; leave it out, or --find batch")
    # Beyond it no module's update could have a higher rank.
    limit = max(min(module.inputs, module.outputs) for module in job.targets)
    return Largest("adapter.rank", largest(lambda rank: fits(replace(job, rank=rank)), limit), limit)


def largest(fits: Callable[[int], bool], limit: int) -> int:
    """The greatest n in 1 ... `limit` that fits, 0 if there is none; more must never take less."""
    fitting, failing = 0, 1
    while failing <= limit and fits(failing):
        fitting, failing = failing, 2 * failing
    failing = min(failing, limit + 1)
    while failing - fitting > 1:
        middle = (fitting + failing) // 2
        fitting, failing = (middle, failing) if fits(middle) else (fitting, middle)
    return fitting
