"""Matrix products with frozen weights, by the library that is fastest on this CPU.

A library that gets a plain matrix lays it out anew in every call, which costs more than a product with few rows. A
rollout therefore packs its weights once: then a product of 32 rows is up to three times as fast. With many rows the
layout no longer matters, and the library alone decides (docs/performance.md; bench/kernels.py prints the table)."""

import platform
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

Kernel = Literal["plain", "onednn", "mkl"]
"""The library of the products with frozen weights: torch's own choice, oneDNN, or MKL with packed weights."""
ROWS_HINT, MKL_ROWS_HINT = 32, 512
"""Rows that the layout is chosen for; any number runs. oneDNN's is the same for all. MKL's for 512 rows serves 8 to
4,096 well; for 32 it serves more rows badly, and for 4,096 fewer (docs/performance.md)."""
LEAST_OPERATIONS, LEAST_WEIGHTS = 2**26, 2**16
"""Below either, a product that is not packed is torch's own: oneDNN writes code of 0.5 to 3 ms for each new number of
rows, which has to be earned back. Nor are so few weights packed: their layout does not matter, and packing them takes
longer than the product."""
_chosen: Literal["auto"] | Kernel = "auto"


@cache
def best_kernel() -> Kernel:
    """The kernel that is fastest here: a function of the kind of CPU, not of a measurement, so that runs repeat.

    MKL's packed products are the fastest on Intel's CPUs with AVX-512, oneDNN's elsewhere (docs/performance.md)."""
    if _capability() == "AVX512" and _is_intel() and _has_mkl():
        return "mkl"
    return "onednn" if _has_onednn() else "plain"


def available(kernel: Kernel) -> bool:
    """Whether this torch has the kernel."""
    return kernel == "plain" or (_has_onednn() if kernel == "onednn" else _has_mkl())


def use(chosen: Literal["auto"] | Kernel) -> None:
    """From here on products go by this kernel; "auto": the best one. Like torch's number of threads it is of the
    process. Raises ValueError where torch lacks it."""
    global _chosen
    if chosen != "auto" and not available(chosen):
        raise ValueError(
            f'model.kernel = "{chosen}": this torch has no {chosen}; set "auto", in run.toml where a run is resumed, '
            "which then goes on in other rounding"
        )
    _chosen = chosen


def kernel() -> Kernel:
    """The kernel in use."""
    return best_kernel() if _chosen == "auto" else _chosen


def using(chosen: Kernel) -> AbstractContextManager[None]:
    """Within it, products go by this kernel."""
    return within(use, chosen, _chosen)


@contextmanager
def within(use: Callable[[Any], None], chosen: str, before: str) -> Iterator[None]:
    """Within it `chosen` is in use, afterwards `before` again."""
    use(chosen)
    try:
        yield
    finally:
        use(before)


def product(x: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """x W' + b without a gradient, whatever the strides of the weight: [..., I] -> [..., O]. The product is made in the
    type of the weight and given in that of x."""
    if x.dtype != weight_OI.dtype:
        return product(x.to(weight_OI.dtype), weight_OI, bias_O).to(x.dtype)
    if _is_worth(x, weight_OI):
        return torch.ops.mkldnn._linear_pointwise(x, weight_OI, bias_O, "none", [], "")
    return functional.linear(x, weight_OI, bias_O)


def frozen_linear(x: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """The same with a gradient to x; the weight and the bias are frozen."""
    if x.dtype != weight_OI.dtype or _is_worth(x, weight_OI):
        return _FrozenLinear.apply(x, weight_OI, bias_O)
    return functional.linear(x, weight_OI, bias_O)


class PackedLinear:
    """x W' + b for a frozen W [O, I], packed once; without a gradient."""

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None) -> None:
        self.packed: Callable[[Tensor], Tensor]
        if weight_OI.dtype == torch.bfloat16 and _packs_bf16():
            packed = _packed_by_onednn(weight_OI, bias_O)
            self.packed = lambda x: packed(x.bfloat16()).to(x.dtype)
            return
        pack = {"mkl": _packed_by_mkl, "onednn": _packed_by_onednn, "plain": None}[kernel()]
        if pack is None or weight_OI.dtype != torch.float32 or weight_OI.numel() < LEAST_WEIGHTS:
            self.packed = lambda x: product(x, weight_OI, bias_O)
        else:
            self.packed = pack(weight_OI, bias_O)

    def __call__(self, x: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        return self.packed(x)


class _FrozenLinear(torch.autograd.Function):
    """x W' + b. Nothing is kept for the backward but the weight."""

    @staticmethod
    def forward(ctx, x: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight_OI)
        y_NO = product(x.reshape(-1, x.shape[-1]), weight_OI, bias_O)
        # Not a view: adapters write their update over it.
        return torch.ops.aten._unsafe_view(y_NO, [*x.shape[:-1], len(weight_OI)])

    @staticmethod
    @once_differentiable
    def backward(ctx, dy: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]  the decorator drops names
        (weight_OI,) = ctx.saved_tensors
        return product(dy, weight_OI.T), None, None


def _is_worth(x: Tensor, weight_OI: Tensor) -> bool:
    """Whether oneDNN's call gains more than it costs, for fp32 on a CPU."""
    is_large = weight_OI.numel() >= LEAST_WEIGHTS and 2 * x.numel() * len(weight_OI) >= LEAST_OPERATIONS
    on_cpu = x.device.type == "cpu" and x.dtype == weight_OI.dtype == torch.float32
    return on_cpu and is_large and kernel() == "onednn"


def _capability() -> str:
    return torch.backends.cpu.get_cpu_capability()


@cache
def _is_intel(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the CPU is Intel's: by Linux's own list, else by the name that the system gives it."""
    named = cpuinfo.read_text(encoding="utf-8") if cpuinfo.is_file() else platform.processor()
    return "GenuineIntel" in named


@cache
def _packs_bf16() -> bool:
    """Whether this CPU multiplies in bf16, so that packing for it is worth it, and oneDNN is let do so
    (ONEDNN_MAX_CPU_ISA)."""
    if not (_has_onednn() and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())):
        return False
    try:
        _packed_by_onednn(torch.ones(32, 32, dtype=torch.bfloat16), None)(torch.ones(1, 32, dtype=torch.bfloat16))
    except RuntimeError:
        return False
    return True


def _packed_by_onednn(weight_OI: Tensor, bias_O: Tensor | None) -> Callable[[Tensor], Tensor]:
    """x W' + b by oneDNN's packed W [O, I]. Its fused element-wise steps are left alone: measured, they cost more than
    torch's own in place. So is its convolution of width 1, a sixth faster at some numbers of rows, a hundred times
    slower at others."""
    packed = torch.ops.mkldnn._reorder_linear_weight(weight_OI, ROWS_HINT)
    return lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, bias_O, "none", [], "")


def _packed_by_mkl(weight_OI: Tensor, bias_O: Tensor | None) -> Callable[[Tensor], Tensor]:
    """x W' + b by MKL's packed W [O, I]. torch's operator multiplies by it only if it is told that W was packed for the
    rows of x, and by the plain W else. It is told so always, and given a plain W of which only the shape is read."""
    packed = torch.ops.mkl._mkl_reorder_linear_weight(weight_OI, MKL_ROWS_HINT)
    shaped_OI, inputs = weight_OI.new_zeros(1).expand_as(weight_OI), weight_OI.shape[1]
    return lambda x: torch.ops.mkl._mkl_linear(x, packed, shaped_OI, bias_O, x.numel() // inputs)


@cache
def _has_mkl() -> bool:
    """Whether torch has MKL's packed products, and a weight that was packed for one number of rows multiplies any
    other. All versions seen do so, but MKL's manual does not promise it."""
    if not _has("mkl", "_mkl_linear"):
        return False
    weight_OI = torch.linspace(-1, 1, 96 * 80).sin().view(96, 80)
    packed, x_NI = _packed_by_mkl(weight_OI, None), torch.linspace(-2, 2, 600 * 80).cos().view(600, 80)
    return all(torch.allclose(packed(x_NI[:rows]), x_NI[:rows] @ weight_OI.T, atol=1e-4) for rows in (1, 7, 32, 600))


def _has_onednn() -> bool:
    return torch.backends.mkldnn.is_available() and _has("mkldnn", "_linear_pointwise")


def _has(namespace: str, operator: str) -> bool:
    return getattr(getattr(torch.ops, namespace), operator, None) is not None
