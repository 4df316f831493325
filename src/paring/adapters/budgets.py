"""The budget of adapters whose ranks move: its unit, and whether adapters to start from fit it."""

from collections.abc import Mapping
from math import ceil
from typing import Literal

Budget = Literal["parameters", "ranks"]

Start = Mapping[str, tuple[int, int]]
"""Adapters to start from: module path -> (rank, parameters of one rank)."""


def check_budget(rank: int, modules: Start) -> None:
    """Raises ValueError where ranks cost more than `rank` in every module would. `modules`: rank, and price of one."""
    whole, one = sum(own * price for own, price in modules.values()), sum(price for _, price in modules.values())
    if whole > rank * one:
        raise ValueError(
            f"adapter.start is larger than the budget of adapter.rank = {rank} ({whole:,} against {rank * one:,}): "
            f"set adapter.rank = {ceil(whole / one)} or higher"
        )
