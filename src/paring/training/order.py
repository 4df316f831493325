"""Which problems or examples a step draws: a pure function of (seed, step), so that resuming needs no cursor."""

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def items_of_step(items: Sequence[T], count: int, *, seed: int, step: int) -> list[T]:
    """The `count` items of step `step`, from 1. Each epoch goes once through all, in an order of its own."""
    first = (step - 1) * count
    places = (divmod(position, len(items)) for position in range(first, first + count))
    return [items[int(_order(len(items), seed, epoch)[place])] for epoch, place in places]


@lru_cache(maxsize=2)
def _order(total: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, epoch]))).permutation(total)
