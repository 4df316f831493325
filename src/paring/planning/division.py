"""A run among several processes: what each of them has of its work and of its base, and what goes between them."""

from dataclasses import dataclass

from paring.planning import parts
from paring.planning.job import Job, Rollouts
from paring.planning.shapes import Shapes
from paring.training.config import AnyRun, Run
from paring.training.shares import check_number, check_shard


@dataclass(frozen=True)
class Division:
    """The figures are those of the process that has most. `share` of the `items`, problems or examples, of a step;
    bytes of the base that it holds, of `base`; bytes that it sends for one sum of the gradients; and, of a divided
    base, bytes that it receives for a pass and for its backward."""

    processes: int
    share: int
    items: int
    held: int
    base: int
    sent: int
    received: int
    received_backward: int

    @property
    def least_time(self) -> float:
        """The share of one process's time that a step takes at least."""
        return self.share / self.items


def check_division(run: AnyRun, processes: int) -> None:
    """Raises ValueError where the run cannot be divided among so many."""
    check_number(run, processes)
    check_shard(run)
    if run.parallel.shard != "none" and processes == 1:
        raise ValueError(
            f'parallel.shard = "{run.parallel.shard}": say how many processes divide the base, such as --processes 4'
        )


def items_of(run: AnyRun) -> int:
    """The problems, or examples, of a step."""
    return run.rollout.problems if isinstance(run, Run) else run.batch


def division_of(run: AnyRun, shapes: Shapes, job: Job) -> Division:
    """How the run's job is divided."""
    others = (job.processes - 1) / job.processes
    gathered = others * job.itemsize if job.is_divided else 0
    return Division(
        job.processes,
        job.work.problems if isinstance(job.work, Rollouts) else job.work.batch,
        items_of(run),
        parts.base_weights(shapes, job),
        parts.whole_base(shapes, job),
        # Each process sends its part of the sum, and of the result, to the next one in a ring.
        round(2 * others * parts.FP32 * parts.trained(shapes, job)),
        round(gathered * (shapes.in_layers + shapes.at_ends)),
        round(gathered * shapes.in_layers),
    )
