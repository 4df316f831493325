"""An optimiser's moments through a rank event: what survives keeps its own, what is new must not begin with a leap."""

import torch
from torch import Tensor

from paring.adapters.ranks import Move

RANK_AXIS = {"A": 0, "B": 1, "c": 0}
"""Which axis of an adapter's parameter counts its components."""


@torch.no_grad()
def moved(moment: Tensor, move: Move, axis: int, *, second: bool) -> Tensor:
    """The moment of a parameter after its components, along `axis`, have moved.

    A new component has no first moment, and for its second the survivors' mean: Adam's step count is old, so that from
    0 its first steps would be several times too large (3.2 times in the limit, for betas of 0.9 and 0.999)."""
    kept = moment.index_select(axis, torch.tensor(move.kept, dtype=torch.int64, device=moment.device))
    shape = list(moment.shape)
    shape[axis] = move.grown
    born = kept.mean(axis, keepdim=True).expand(shape) if second and move.kept else kept.new_zeros(shape)
    return torch.cat([kept, born], axis)
