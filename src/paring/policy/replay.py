"""The rollout is the forward pass: what it computed of every token, and a backward pass through that, layer by layer.

The policy that samples is the policy that takes the first update, so its forward pass over the completions has been
made already, token by token. The backward pass takes the outputs of its matrix products from the recording and computes
again only what lies between them. It goes one layer at a time, from the recorded input of each, and so holds the
activations of one layer and not of all.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from paring.adapters.lowrank import LowRankLinear
from paring.maths.products import product
from paring.policy.attention import TokenLayout
from paring.policy.decoder import Decoder, ModuleLayer, normed, through
from paring.policy.recording import Known


def known_layer(decoder: Decoder, number: int, known: Known) -> ModuleLayer:
    """A layer whose linear modules give what the rollout computed. Of `o_proj` the recording has the sum after it, and
    of `down_proj` nobody reads the output, nor the sum: the gradient does not ask for them."""
    layer = decoder.layers[number]
    assert isinstance(layer, ModuleLayer), type(layer).__name__
    shape = layer.shape
    sizes = [count * shape.head_size for count in (shape.heads, shape.key_heads, shape.key_heads)]
    query, key, value = known.part(number, "heads").split(sizes, dim=-1)
    gate, up = known.part(number, "gate_up").chunk(2, dim=-1)
    after_attention = known.part(number, "after_attention")
    outputs = {"q_proj": query, "k_proj": key, "v_proj": value, "gate_proj": gate, "up_proj": up}
    outputs |= dict.fromkeys(("o_proj", "down_proj"), after_attention)

    def computed(name: str, module: nn.Module, x: Tensor) -> Tensor:
        return as_computed(module, x, outputs[name])

    def added(name: str, hidden: Tensor, product: Tensor) -> Tensor:
        return _Added.apply(hidden, product, after_attention)

    return replace(layer, product=computed, residual=added)


def replayed(decoder: Decoder, token_1N: Tensor, position_1N: Tensor, layout: TokenLayout, known: Known) -> Tensor:
    """Last hidden states [1, N, D] as the rollout computed them; a gradient goes to the adapters as it would through
    the decoder itself."""
    # Autograd asks a function for its backward only where an input has a gradient.
    anchor = torch.zeros((), requires_grad=torch.is_grad_enabled())
    return _Replay.apply(anchor, decoder, token_1N, position_1N, layout, known)


class _Replay(torch.autograd.Function):
    @staticmethod
    def forward(ctx, anchor: Tensor, decoder: Decoder, token_1N: Tensor, position_1N: Tensor, layout, known: Known):
        ctx.given = decoder, token_1N, position_1N, layout, known
        return normed(decoder.model.norm, known.part(len(decoder.layers) - 1, "after_mlp"))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]  the decorator drops names
        decoder, token_1N, position_1N, layout, known = ctx.given
        last = known.part(len(decoder.layers) - 1, "after_mlp")
        grad = _gradient(lambda hidden: normed(decoder.model.norm, hidden), last, grad)
        rotary = decoder.rotary(last, position_1N)
        for number in reversed(range(decoder.first_adapted, len(decoder.layers))):
            into = known.part(number - 1, "after_mlp") if number else decoder.embedded(token_1N)
            layer = partial(through, known_layer(decoder, number, known), number, rotary=rotary, layout=layout)
            grad = _gradient(layer, into, grad)
            del layer  # and with it the outputs, before those of the next are there
        return None, None, None, None, None, None


def _gradient(of: Callable[[Tensor], Tensor], hidden: Tensor, grad: Tensor) -> Tensor:
    """The gradient of a function with respect to its input; on the way it is added up where adapters are."""
    with torch.enable_grad():
        hidden = hidden.detach().requires_grad_()
        torch.autograd.backward(of(hidden), grad)
    assert hidden.grad is not None
    return hidden.grad


class _Added(torch.autograd.Function):
    """The sum of the first two, given."""

    @staticmethod
    def forward(ctx, one: Tensor, other: Tensor, total: Tensor):
        return total.view_as(total)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]  the decorator drops names
        return dy, dy, None


def as_computed(module: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """`y`, which the module gives for x, with the module's gradient. The base must be dense, and without dropout."""
    base = module.base if isinstance(module, LowRankLinear) else module
    assert isinstance(base, nn.Linear), type(base).__name__
    if isinstance(module, LowRankLinear) and module.enabled and module.rank:
        return _AsComputed.apply(x, y, base.weight, module.A_RI, module.gated_OR, module.scale)
    return _AsComputed.apply(x, y, base.weight, None, None, 0.0)


class _AsComputed(torch.autograd.Function):
    """y = W x + s B A x, given. Kept for the backward: x, and u = A x."""

    @staticmethod
    def forward(ctx, x: Tensor, y: Tensor, weight_OI: Tensor, A_RI: Tensor | None, B_OR: Tensor | None, scale: float):
        x_NI = x.reshape(-1, x.shape[-1])
        u_NR = None if A_RI is None else product(x_NI, A_RI)
        ctx.save_for_backward(x_NI, u_NR, weight_OI, A_RI, B_OR)
        ctx.scale, ctx.shape = scale, x.shape
        return y.view_as(y)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]  the decorator drops names
        """dx = dy W + du A with du = s dy B, dA = du' x, dB = s dy' u."""
        x_NI, u_NR, weight_OI, A_RI, B_OR = ctx.saved_tensors
        dy_NO = dy.reshape(-1, dy.shape[-1])
        dx_NI = product(dy_NO, weight_OI.T) if ctx.needs_input_grad[0] else None
        if A_RI is None:
            return dx_NI if dx_NI is None else dx_NI.view(ctx.shape), None, None, None, None, None
        du_NR = product(dy_NO, B_OR.T).mul_(ctx.scale)
        dx = None if dx_NI is None else dx_NI.addmm_(du_NR, A_RI).view(ctx.shape)
        dB_RO = product(u_NR.T, dy_NO.T).mul_(ctx.scale)
        return dx, None, None, product(du_NR.T, x_NI.T), dB_RO.T, None
