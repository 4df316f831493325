"""The first values of A: how the rows of a new adapter, and of a component that comes in later, are drawn."""

from collections.abc import Callable
from functools import partial
from math import sqrt
from typing import Literal

import torch
from torch import Tensor

FirstA = Literal["uniform", "normal", "orthogonal"]
Draw = Callable[[int, int, torch.Generator], Tensor]
"""(rank, inputs, generator) -> first values of A: fp32 [R, I], on the generator's device."""


def drawn_as(kind: FirstA, rank: int) -> Draw:
    """The draw of this name, for adapters whose settings have this rank."""
    if kind == "normal":
        return partial(normal_rows, std=1 / rank)
    return orthogonal_rows if kind == "orthogonal" else uniform_rows


def uniform_rows(rank: int, inputs: int, generator: torch.Generator) -> Tensor:
    """U(-1/sqrt(in), 1/sqrt(in)), as PEFT draws A: kaiming_uniform with a = sqrt(5)."""
    bound = 1 / sqrt(inputs)
    return _empty(rank, inputs, generator).uniform_(-bound, bound, generator=generator)


def normal_rows(rank: int, inputs: int, generator: torch.Generator, *, std: float) -> Tensor:
    """N(0, std). With std = 1 / rank it is PEFT's "gaussian", and the first A of L1RA's reference code."""
    return _empty(rank, inputs, generator).normal_(0, std, generator=generator)


def orthogonal_rows(rank: int, inputs: int, generator: torch.Generator) -> Tensor:
    """Rows that stand upright on one another, uniform over all such (QR of a normal matrix, arXiv math-ph/0609050), and
    as long as those of `uniform_rows` are on average: sqrt(1/3). Beyond `inputs` rows, further such sets follow."""
    sets = []
    for first in range(0, rank, inputs):
        count = min(inputs, rank - first)
        Q_IR, R_RR = torch.linalg.qr(_empty(inputs, count, generator).normal_(generator=generator))
        sets.append((Q_IR * R_RR.diagonal().sign()).T / sqrt(3))
    return torch.cat([_empty(0, inputs, generator), *sets])


def _empty(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    return torch.empty(rows, columns, dtype=torch.float32, device=generator.device)
