"""Which problems a step draws: a pure function of (seed, step), so that resuming needs no cursor."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from paring.types import Problem


def problems_of_step(problems: Sequence[Problem], count: int, *, seed: int, step: int) -> list[Problem]:
    """The `count` problems of step `step`, from 1. Each epoch goes once through all, in an order of its own."""
    first = (step - 1) * count
    places = (divmod(position, len(problems)) for position in range(first, first + count))
    return [problems[int(_order(len(problems), seed, epoch)[place])] for epoch, place in places]


@lru_cache(maxsize=2)
def _order(total: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, epoch]))).permutation(total)
