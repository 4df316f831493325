"""Which problems or examples a step draws: a pure function of (seed, step), so that resuming needs no cursor."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import TypeVar

import numpy as np

from paring.tasks.base import Task
from paring.tasks.mixture import Mixture, by_label
from paring.types import Problem

T = TypeVar("T")
GOLDEN = 0.6180339887498949
"""Multiples of it, modulo 1, are spread evenly: so is what is rounded by them."""
MOST_ORDERS = 1000
"""Steps whose redraws are worked out: that takes less time than to look at all problems."""


@dataclass(frozen=True)
class Schedule:
    """How many of some items the steps draw. A step draws `count` in all; these items get the places from the share
    `low` to the share `high` of them. A place on a border falls to either side, in the right proportion of steps."""

    count: int
    low: float = 0.0
    high: float = 1.0

    def before(self, steps: int) -> int:
        """How many the first `steps` steps draw."""
        if (self.low, self.high) == (0.0, 1.0):
            return steps * self.count
        return int(_drawn(self, 1 << max(steps, 1).bit_length())[steps])

    def step_of(self, position: int) -> int:
        """The step that draws the item at this position of all that are ever drawn."""
        most = 1
        while self.before(most) <= position:
            most *= 2
        return bisect_right(range(most), position, key=self.before)


def items_of_step(
    items: Sequence[T], count: int, *, seed: int, step: int, low: float = 0.0, high: float = 1.0
) -> list[T]:
    """The items of step `step`, from 1: `count`, or the share of it from `low` to `high` (see Schedule).

    Each epoch goes once through all, in an order of its own. No step draws an item twice if there are enough: where an
    epoch begins within a step, what the step has drawn already comes later in the new epoch."""
    schedule = Schedule(count, low, high)
    first, end, total = schedule.before(step - 1), schedule.before(step), len(items)
    if total < 3 * count:  # an order may rest on the one before it: each is made once, the first ones first
        for epoch in range(first // max(1, total)):
            _order(total, seed, epoch, schedule)
    places = (divmod(position, total) for position in range(first, end))
    return [items[int(_order(total, seed, epoch, schedule)[place])] for epoch, place in places]


def problems_of_step(
    task: Task, parts: Mapping[str, Sequence[Problem]], count: int, *, seed: int, step: int
) -> list[Problem]:
    """The problems that a step draws; of several tasks each by its weight, one task after the other. `parts`: the
    problems by label."""
    if not isinstance(task, Mixture):
        return numbered(items_of_step(parts[""], count, seed=seed, step=step))
    drawn = []
    for label, own in parts.items():
        low, high = task.shares[label]
        drawn += items_of_step(own, count, seed=seed, step=step, low=low, high=high)
    return numbered(drawn)


def problems_of_run(
    task: Task, problems: Sequence[Problem], count: int, *, seed: int, steps: int, redraws: int = 0
) -> list[Problem]:
    """All problems that steps of `count` draw, each once; with those that may take the places of others in them, each
    place so many times."""
    if redraws and (steps > MOST_ORDERS or steps * count * (1 + redraws) >= len(problems)):
        return list(problems)
    shares = task.shares if isinstance(task, Mixture) else {"": (0.0, 1.0)}
    drawn: dict[str, Problem] = {}
    parts = by_label(task, problems)
    for label, own in parts.items():
        total = min(Schedule(count, *shares[label]).before(steps), len(own))
        # The first epoch is in the order of its own, whatever a step draws.
        drawn |= {one.id: one for one in (items_of_step(own, total, seed=seed, step=1) if total else [])}
    for step in range(1, steps + 1) if redraws else ():
        of_step = problems_of_step(task, parts, count, seed=seed, step=step)
        for own in parts.values():
            others = others_of_step(own, of_step, seed=seed, step=step)
            drawn |= {one.id: one for one in islice(others, count * redraws)}
    return list(drawn.values())


def numbered(problems: Sequence[Problem]) -> list[Problem]:
    """The problems of a step, each with how many times it stands before: its groups are sampled anew."""
    seen: Counter[str] = Counter()
    drawn = []
    for problem in problems:
        drawn.append(replace(problem, draw=seen[problem.id]) if seen[problem.id] else problem)
        seen[problem.id] += 1
    return drawn


def others_of_step(problems: Sequence[Problem], drawn: Sequence[Problem], *, seed: int, step: int) -> Iterator[Problem]:
    """All problems but those `drawn`, in an order that is the step's own."""
    taken = {problem.id for problem in drawn}
    # The third word sets these orders apart from those of the epochs.
    order = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, step, 1]))).permutation(len(problems))
    yield from (problem for problem in (problems[int(place)] for place in order) if problem.id not in taken)


@lru_cache(maxsize=1 << 14)
def _order(total: int, seed: int, epoch: int, schedule: Schedule) -> np.ndarray:
    """The order of an epoch: what the step in which it begins has drawn of the epoch before does not stand among the
    first, which that step draws too."""
    order, border = _shuffled(total, seed, epoch), epoch * total
    if epoch == 0:
        return order
    step = schedule.step_of(border)
    first, end = schedule.before(step - 1), schedule.before(step)
    if first == border or end - first > total:
        return order
    # The end of an order is moved only where the whole of it is hardly longer than what two steps draw.
    earlier = (
        _order(total, seed, epoch - 1, schedule) if total < 3 * schedule.count else _shuffled(total, seed, epoch - 1)
    )
    is_new = ~np.isin(order, earlier[first - border :])
    now = np.flatnonzero(is_new)[: end - border]
    return np.concatenate([order[now], np.delete(order, now)])


@lru_cache(maxsize=4)
def _shuffled(total: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, epoch]))).permutation(total)


@lru_cache(maxsize=64)
def _drawn(schedule: Schedule, steps: int) -> np.ndarray:
    """How many items the first 0, 1, ... `steps` steps draw."""
    offset = np.arange(1, steps + 1) * GOLDEN % 1.0
    low, high = (np.ceil(schedule.count * share - offset) for share in (schedule.low, schedule.high))
    return np.concatenate([[0], np.cumsum(high - low).astype(np.int64)])
