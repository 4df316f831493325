"""How far rounding alone moves a model's logits: what a probe in half precision can and cannot tell from a fault."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from paring.adapters.lowrank import LowRankLinear

DRAWS = 2


@torch.no_grad()
def rounding(model: nn.Module, logits: Callable[[], Tensor], dtype: torch.dtype) -> float:
    """The root mean square of the changes of the logits [N, V] between passes that round differently: in some, the
    output of every module moves by up to one step of `dtype`."""
    plain_NV = logits()
    changes = []
    for seed in range(DRAWS):
        with _moved(model, torch.finfo(dtype).eps, seed):
            changes.append(logits() - plain_NV)
    change_NV = torch.cat(changes)
    return float((change_NV - change_NV.mean(-1, keepdim=True)).square().mean().sqrt())


@contextmanager
def _moved(model: nn.Module, share: float, seed: int) -> Iterator[None]:
    """Within it every value that a module without parts gives, or an adapter, moves by up to this share of it."""
    generator = torch.Generator().manual_seed(seed)

    def move(module: nn.Module, given: object, y: object) -> Tensor | None:
        if not isinstance(y, Tensor) or not y.is_floating_point():
            return None
        by = (2 * torch.rand(y.shape, generator=generator) - 1).to(y.device)
        return (y.float() * (1 + share * by)).to(y.dtype)

    parts = [one for one in model.modules() if isinstance(one, LowRankLinear) or not any(one.children())]
    hooks = [one.register_forward_hook(move) for one in parts]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
