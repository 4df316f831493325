"""Linear layers that can be the base of an adapter: dense, of a subclass, quantised, or with a transposed weight."""

from typing import TYPE_CHECKING, Protocol, TypeGuard, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from typing_extensions import TypeIs


@runtime_checkable
class LinearLike(Protocol):
    """The base of an adapter: a map of `in_features` to `out_features` (dense, 4-bit, 8-bit, ...)."""

    in_features: int
    out_features: int

    def __call__(self, x: Tensor, /) -> Tensor: ...


@runtime_checkable
class Transposed(Protocol):
    """A linear layer that keeps its weight as [in, out], as GPT-2's Conv1D does: `nx` inputs, `nf` outputs."""

    nx: int
    nf: int
    weight: Tensor

    def __call__(self, x: Tensor, /) -> Tensor: ...


def features_of(module: nn.Module) -> tuple[int, int] | None:
    """Inputs and outputs of a module that can be the base of an adapter; None of any other."""
    if isinstance(module, LinearLike):
        return module.in_features, module.out_features
    return (module.nx, module.nf) if isinstance(module, Transposed) else None


def is_dense(base: nn.Module) -> "TypeIs[nn.Linear]":
    """Whether it is an nn.Linear of plain weights. The types must be exact: quantised layers derive from nn.Linear, or
    hold a weight that derives from Parameter."""
    return type(base) is nn.Linear and type(base.weight) is nn.Parameter


@torch.no_grad()
def is_plain_product(base: nn.Linear) -> bool:
    """Whether a layer of a subclass computes W x + b with weights that are plain numbers. Subclasses quantise, scale or
    group, so that it is tried on four inputs."""
    weight = base.weight
    if type(weight) is not nn.Parameter or weight.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        return False
    if weight.shape != (base.out_features, base.in_features):
        return False
    x_NI = torch.linspace(-1, 1, 4 * base.in_features, device=weight.device, dtype=weight.dtype).view(4, -1)
    y_NO, expected_NO = base(x_NI), functional.linear(x_NI, weight, base.bias)
    if y_NO.shape != expected_NO.shape:
        return False
    apart = (y_NO - expected_NO).float().abs().max()
    return bool(apart <= 16 * torch.finfo(weight.dtype).eps * expected_NO.float().abs().max())


def has_dense_weight(base: nn.Module) -> "TypeGuard[nn.Linear | Transposed]":
    """Whether its weight is plain numbers, which can be read and written: a dense nn.Linear, of a subclass too, or
    Conv1D."""
    if is_dense(base) or (isinstance(base, Transposed) and type(base.weight) is nn.Parameter):
        return True
    return isinstance(base, nn.Linear) and is_plain_product(base)
