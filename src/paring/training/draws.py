"""Which problems or examples a step draws: a pure function of (seed, step), so that resuming needs no cursor."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np

from paring.types import Problem

T = TypeVar("T")


def items_of_step(items: Sequence[T], count: int, *, seed: int, step: int) -> list[T]:
    """The `count` items of step `step`, from 1. Each epoch goes once through all, in an order of its own."""
    first = (step - 1) * count
    places = (divmod(position, len(items)) for position in range(first, first + count))
    return [items[int(_order(len(items), seed, epoch)[place])] for epoch, place in places]


def others_of_step(problems: Sequence[Problem], drawn: Sequence[Problem], *, seed: int, step: int) -> Iterator[Problem]:
    """All problems but those `drawn`, in an order that is the step's own."""
    taken = {problem.id for problem in drawn}
    # The third word sets these orders apart from those of the epochs.
    order = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, step, 1]))).permutation(len(problems))
    return (problem for problem in (problems[int(place)] for place in order) if problem.id not in taken)


@lru_cache(maxsize=2)
def _order(total: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, epoch]))).permutation(total)
