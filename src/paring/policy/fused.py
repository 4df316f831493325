"""Steps of a decoder layer between its matrix products, whose backward keeps little and computes it again. Each goes
by the compiled code of maths/compiled.c where that serves, and by torch elsewhere."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from paring.maths import compiled


def rms_norm(x: Tensor, weight_D: Tensor, epsilon: float) -> Tensor:
    """x / sqrt(mean x^2 + epsilon) * weight, in fp32 and cast back (Zhang and Sennrich 2019). The weight is frozen.
    [..., D] -> [..., D]."""
    return _RmsNorm.apply(x, weight_D, epsilon)


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up (Shazeer 2020): [..., I], [..., I] -> [..., I]."""
    return _SwiGlu.apply(gate, up)


def rotated(heads: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary position embedding of heads [B, N, H, D], with cosine and sine [B, N, 1, D] (Su et al. 2021)."""
    one, other = heads.chunk(2, dim=-1)
    return torch.addcmul(heads * cosine, torch.cat([-other, one], dim=-1), sine)


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight_D: Tensor, epsilon: float) -> Tensor:
        ctx.save_for_backward(x, weight_D)
        ctx.epsilon = epsilon
        if compiled.serves(x, weight_D):
            dense, y = x.contiguous(), x.new_empty(x.shape)
            work = compiled.Norm(x=dense.data_ptr(), weight=weight_D.data_ptr(), y=y.data_ptr(), epsilon=epsilon)
            return _called(work, y)
        wide = x.float()
        return (wide * _inverse(wide, epsilon)).to(x.dtype).mul_(weight_D)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]  the decorator drops names
        """dx = inverse (w dy - n mean(n w dy)) with n = x inverse."""
        x, weight_D = ctx.saved_tensors
        if compiled.serves(x, weight_D, dy):
            x, dy, dx = x.contiguous(), dy.contiguous(), x.new_empty(x.shape)
            work = compiled.NormBackward(x=x.data_ptr(), dy=dy.data_ptr(), dx=dx.data_ptr(), epsilon=ctx.epsilon)
            work.weight = weight_D.data_ptr()
            return _called(work, dx), None, None
        dx = (dy * weight_D).float()
        wide = x.float()
        inverse = _inverse(wide, ctx.epsilon)
        normed = wide * inverse
        shared = (normed * dx).mean(-1, keepdim=True)
        return dx.sub_(normed.mul_(shared)).mul_(inverse).to(x.dtype), None, None


def _inverse(wide: Tensor, epsilon: float) -> Tensor:
    """1 / sqrt(mean x^2 + epsilon): [..., 1]."""
    return wide.square().mean(-1, keepdim=True).add_(epsilon).rsqrt_()


class _SwiGlu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        if compiled.serves(gate, up) and (stride := _row_stride(gate, up)):
            y = gate.new_empty(gate.shape)
            work = compiled.SwiGlu(gate=gate.data_ptr(), up=up.data_ptr(), y=y.data_ptr(), stride=stride)
            return _called(work, y)
        return torch.nn.functional.silu(gate).mul_(up)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]  the decorator drops names
        gate, up = ctx.saved_tensors
        if compiled.serves(gate, up, dy) and (stride := _row_stride(gate, up)):
            dy, d_gate, d_up = dy.contiguous(), gate.new_empty(gate.shape), gate.new_empty(gate.shape)
            work = compiled.SwiGluBackward(gate=gate.data_ptr(), up=up.data_ptr(), dy=dy.data_ptr(), stride=stride)
            work.d_gate, work.d_up = d_gate.data_ptr(), d_up.data_ptr()
            return _called(work, d_gate), d_up
        d_up = torch.nn.functional.silu(gate).mul_(dy)
        return torch.ops.aten.silu_backward(dy * up, gate), d_up


def _called(work: Any, out: Tensor) -> Tensor:
    """The output [..., D], once the compiled code has written it, row by row."""
    work.rows, work.size = out.numel() // out.shape[-1], out.shape[-1]
    compiled.call(work)
    return out


def _row_stride(one: Tensor, other: Tensor) -> int | None:
    """Numbers from one row of [..., D] to the next in both, such as the halves of one tensor; None where rows do not
    follow each other evenly."""
    axes = zip(one.shape[:-2], one.stride()[:-2], one.shape[1:-1], one.stride()[1:-1], strict=True)
    even = all(size == 1 or stride == inner * inner_stride for size, stride, inner, inner_stride in axes)
    return one.stride(-2) if even and one.stride() == other.stride() else None
