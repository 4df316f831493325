"""Matrix products with frozen weights: packed once for the CPU's matrix library, so that few rows run at its full rate.

A library that gets a plain matrix lays it out anew in every call, which costs more than a product with few rows. With
the weight packed beforehand a product of 32 rows is up to three times as fast (docs/performance.md)."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Kernel = Literal["plain", "onednn", "mkl"]
ROWS_HINT = 32
"""Rows that the layout is chosen for; any number runs."""


def kernel_for(device: torch.device, dtype: torch.dtype) -> Kernel:
    """The kernel that is fastest here: a function of the machine, not of a measurement, so that runs repeat.

    MKL's packed products are the fastest where the CPU has AVX-512, oneDNN's elsewhere (docs/performance.md). GPUs
    and other precisions take the plain product."""
    if device.type != "cpu" or dtype != torch.float32:
        return "plain"
    if torch.backends.cpu.get_cpu_capability() == "AVX512" and _has("mkl", "_mkl_linear"):
        return "mkl"
    return "onednn" if _has("mkldnn", "_linear_pointwise") and torch.backends.mkldnn.is_available() else "plain"


class PackedLinear:
    """x W' + b for a frozen W [O, I]."""

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None, kernel: Kernel) -> None:
        self.product: Callable[[Tensor], Tensor]
        if kernel == "mkl":
            packed = torch.ops.mkl._mkl_reorder_linear_weight(weight_OI, ROWS_HINT)
            self.product = lambda x: torch.ops.mkl._mkl_linear(x, packed, weight_OI, bias_O, ROWS_HINT)
        elif kernel == "onednn":
            # oneDNN's fused element-wise steps are left alone: measured, they cost more than torch's own in place. So
            # is its convolution of width 1, a sixth faster at some numbers of rows, a hundred times slower at others.
            packed = torch.ops.mkldnn._reorder_linear_weight(weight_OI, ROWS_HINT)
            self.product = lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, bias_O, "none", [], "")
        else:
            self.product = lambda x: functional.linear(x, weight_OI, bias_O)

    def __call__(self, x: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        return self.product(x)


def _has(namespace: str, operator: str) -> bool:
    return getattr(getattr(torch.ops, namespace), operator, None) is not None
