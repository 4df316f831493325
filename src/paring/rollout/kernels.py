"""Matrix products with frozen weights: packed once for the CPU's matrix library, so that few rows run at its full rate.

A library that gets a plain matrix lays it out anew in every call, which costs more than a product with few rows. With
the weight packed beforehand a product of 32 rows is two to three times as fast (docs/performance.md)."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Kernel = Literal["plain", "onednn", "mkl"]
ROWS_HINT = 32
"""Rows that the layout is chosen for. Any number runs; measured, the layout is the same from 16 to 512."""


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
        self.bias_O, self.kernel = bias_O, kernel
        self.weight = self.plain_OI = weight_OI
        if kernel == "onednn":
            self.weight = torch.ops.mkldnn._reorder_linear_weight(weight_OI, ROWS_HINT)
            self.plain_OI = None  # oneDNN needs it no more
        elif kernel == "mkl":
            self.weight = torch.ops.mkl._mkl_reorder_linear_weight(weight_OI, ROWS_HINT)

    def __call__(self, x: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        if self.kernel == "onednn":
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias_O, "none", [], "")
        if self.kernel == "mkl":
            return torch.ops.mkl._mkl_linear(x, self.weight, self.plain_OI, self.bias_O, ROWS_HINT)
        return functional.linear(x, self.weight, self.bias_O)


def _has(namespace: str, operator: str) -> bool:
    return getattr(getattr(torch.ops, namespace), operator, None) is not None
