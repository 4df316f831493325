"""Steps of a decoder layer between its matrix products, whose backward keeps little and computes it again."""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


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
        wide = x.float()
        inverse = wide.square().mean(-1, keepdim=True).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, weight_D, inverse)
        return (wide * inverse).to(x.dtype).mul_(weight_D)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]  the decorator drops names
        """dx = inverse (w dy - n mean(n w dy)) with n = x inverse."""
        x, weight_D, inverse = ctx.saved_tensors
        dx = (dy * weight_D).float()
        normed = x.float() * inverse
        shared = (normed * dx).mean(-1, keepdim=True)
        return dx.sub_(normed.mul_(shared)).mul_(inverse).to(x.dtype), None, None


class _SwiGlu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return torch.nn.functional.silu(gate).mul_(up)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]  the decorator drops names
        gate, up = ctx.saved_tensors
        d_up = torch.nn.functional.silu(gate).mul_(dy)
        return torch.ops.aten.silu_backward(dy * up, gate), d_up
