"""A linear layer with a low-rank update beside it, over any base that maps inputs to outputs: y = W x + s B A x."""

from collections.abc import Sequence
from itertools import chain
from math import sqrt

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from paring.adapters.first_rows import Draw, uniform_rows
from paring.adapters.linear import Transposed, features_of, has_dense_weight, is_dense
from paring.maths.products import frozen_linear, product


def plain_scale(alpha: float, rank: int) -> float:
    """s = alpha / r      (LoRA, arXiv 2106.09685, sec. 4.1)"""
    return alpha / rank


def rank_stabilised_scale(alpha: float, rank: int) -> float:
    """s = alpha / sqrt(r)      (rsLoRA, arXiv 2312.03732)"""
    return alpha / sqrt(rank)


def product_dtype(x: Tensor, weights: torch.dtype) -> torch.dtype:
    """The type in which an adapter multiplies. Half-precision inputs on a GPU are multiplied as they are, by copies of
    the weights in their type: its matrix units add up in fp32, and fp32 products take many times as long. Elsewhere
    the type is that of the weights."""
    return x.dtype if x.is_cuda and x.dtype in (torch.bfloat16, torch.float16) else weights


class LowRankLinear(nn.Module):
    """y = W x + s B A x, with W frozen and A, B trained      (LoRA, arXiv 2106.09685, eq. 3)
    y = W x + s B diag(c) A x where `gated`, with c trained too      (L1RA, arXiv 2509.04884)

    `A_RI` is [rank, in], drawn by `draw`; `B_OR` is [out, rank] and starts at 0, so that a new adapter leaves the
    function as it was; `c_R` is [rank] and starts at 1, or None: LoRA is the case c = 1. All have the type `dtype`,
    whatever the type of the base, and so have their gradients. The update is computed in `product_dtype` and cast to
    the type of the base's output.
    `enabled = False` leaves the base alone. `resize` alone changes the rank; `scale` never changes.

    `base` must have `features_of`. `dropout` acts on the input of the update while training; its mask comes from
    torch's global generator, the only one that activation checkpointing restores: the caller seeds it.
    """

    def __init__(
        self,
        base: nn.Module,
        *,
        rank: int,
        scale: float,
        generator: torch.Generator,
        draw: Draw = uniform_rows,
        gated: bool = False,
        dropout: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        features = features_of(base)
        assert features is not None, f"{type(base).__name__} has no in_features and out_features"
        inputs, outputs = features
        assert rank >= 1 and 0 <= dropout < 1, f"rank={rank}, dropout={dropout}"
        self.base = base.requires_grad_(False)
        self.scale = scale
        self.dropout = dropout
        self.enabled = True
        device = next(chain(base.parameters(), base.buffers())).device
        # Drawn in fp32 where the generator lives: the numbers then depend neither on the device nor on `dtype`.
        self.A_RI = nn.Parameter(draw(rank, inputs, generator).to(device, dtype))
        self.B_OR = nn.Parameter(torch.zeros(outputs, rank, device=device, dtype=dtype))
        self.c_R = nn.Parameter(torch.ones(rank, device=device, dtype=dtype)) if gated else None
        self.train(base.training)

    @property
    def in_features(self) -> int:
        return self.A_RI.shape[1]

    @property
    def out_features(self) -> int:
        return self.B_OR.shape[0]

    @property
    def rank(self) -> int:
        return self.A_RI.shape[0]

    @property
    def gated_OR(self) -> Tensor:
        """B diag(c): [out, rank]. So the gates cost a product of out x rank, whatever the number of tokens."""
        return self.B_OR if self.c_R is None else self.B_OR * self.c_R

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out], in the type of the base's output."""
        base = self.base
        y = frozen_linear(x, base.weight, base.bias) if is_dense(base) else base(x)
        if not self.enabled or not self.rank:
            return y
        if y._is_view():
            y = y.clone()  # of a tensor that is not ours to write over: bitsandbytes gives one for some inputs
        branch = functional.dropout(x, self.dropout, self.training).to(product_dtype(x, self.A_RI.dtype))
        return _WithUpdate.apply(y, branch, self.A_RI, self.gated_OR, self.scale)

    @property
    def changes_nothing(self) -> bool:
        """Whether the function is the base's."""
        return not self.B_OR.any()

    def delta_OI(self) -> Tensor:
        """s B diag(c) A, what the adapter adds to W: [out, in], in fp32."""
        return self.scale * (self.gated_OR.float() @ self.A_RI.float())

    @torch.no_grad()
    def delta_norm(self) -> float:
        """The Frobenius norm of s B diag(c) A, from the factors alone."""
        A_RI, B_OR = self.A_RI.float(), self.gated_OR.float()
        return self.scale * sqrt(max(0.0, float(((A_RI @ A_RI.T) * (B_OR.T @ B_OR)).sum())))

    @torch.no_grad()
    def resize(self, kept: Sequence[int], grown_RI: Tensor) -> None:
        """Keep the components at the places `kept` and put new ones behind them, with the rows `grown_RI` of A, B = 0
        and c = 1. The function changes by the components that go, and by nothing else.

        In place: the parameters stay the same objects, as optimisers hold them by identity. Call it between an
        optimiser's step and the next forward pass, when no graph of an earlier one is held, and move the optimiser's
        state as well."""
        place_R = torch.tensor(kept, dtype=torch.int64, device=self.A_RI.device)
        grown = len(grown_RI)
        A_RI, B_OR = self.A_RI.index_select(0, place_R), self.B_OR.index_select(1, place_R)
        _replace(self.A_RI, torch.cat([A_RI, grown_RI.to(A_RI)]))
        _replace(self.B_OR, torch.cat([B_OR, B_OR.new_zeros(len(B_OR), grown)], dim=1))
        if self.c_R is not None:
            _replace(self.c_R, torch.cat([self.c_R.index_select(0, place_R), self.c_R.new_ones(grown)]))

    @property
    def is_transposed(self) -> bool:
        """Whether the base keeps its weight as [in, out]."""
        return isinstance(self.base, Transposed)

    def dense_base(self) -> "nn.Linear | Transposed":
        """The base, where it is a dense nn.Linear, of a subclass too, or Conv1D: the adapter merges into such alone.
        Raises ValueError where it is not."""
        base = self.base
        if has_dense_weight(base):
            return base
        raise ValueError(
            f"an adapter merges into a dense nn.Linear only (or a Conv1D), and this base is a {type(base).__name__}, "
            "quantised or otherwise: load the model without quantisation, attach the adapter there, then merge"
        )

    @torch.no_grad()
    def merge(self) -> nn.Module:
        """The base with W + s B diag(c) A written into it, computed in fp32 and cast last. The adapter is spent.

        Raises ValueError if the base is not dense.
        """
        weight = self.dense_base().weight
        delta = self.delta_OI()
        weight.copy_(weight.float() + (delta.T if self.is_transposed else delta))
        return self.base


def _replace(parameter: nn.Parameter, value: Tensor) -> None:
    parameter.grad = None  # of another shape from now on
    parameter.data = value


class _WithUpdate(torch.autograd.Function):
    """y + s B A x, written over y, in the type of x. The backward needs x, which the neighbours of the layer usually
    keep as well, and u = A x, rank numbers a token. The gradients of A and B have the type of A and B; where x is in
    half precision, each pass rounds them to it once, as their products end."""

    @staticmethod
    def forward(ctx, y: Tensor, x: Tensor, A_RI: Tensor, B_OR: Tensor, scale: float) -> Tensor:
        ctx.scale, ctx.shape, ctx.weights = scale, x.shape, A_RI.dtype
        A_RI, B_OR = A_RI.to(x.dtype), B_OR.to(x.dtype)
        x_NI, y_NO = x.reshape(-1, x.shape[-1]), y.view(-1, y.shape[-1])
        u_NR = product(x_NI, A_RI)
        if y.dtype == u_NR.dtype:
            y_NO.addmm_(u_NR, B_OR.T, alpha=scale)
        else:
            y_NO.add_((u_NR @ B_OR.T).mul_(scale))
        ctx.save_for_backward(x_NI, u_NR, A_RI, B_OR)
        ctx.mark_dirty(y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]  the decorator drops names
        """du = s dy B, dx = du A, dA = du' x, dB = s dy' u."""
        x_NI, u_NR, A_RI, B_OR = ctx.saved_tensors
        dy_NO = dy.reshape(-1, dy.shape[-1]).to(B_OR.dtype)
        du_NR = product(dy_NO, B_OR.T).mul_(ctx.scale)
        dx = (du_NR @ A_RI).view(ctx.shape) if ctx.needs_input_grad[1] else None
        dA_RI = product(du_NR.T, x_NI.T).to(ctx.weights)
        dB_RO = product(u_NR.T, dy_NO.T).to(ctx.weights).mul_(ctx.scale)
        return dy, dx, dA_RI, dB_RO.T, None
