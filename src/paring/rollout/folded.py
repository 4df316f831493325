"""The policy as a rollout runs it: adapters folded into the weights, products of one input joined, all packed.

Folding and packing cost about as much as three decoding steps, once a rollout (docs/performance.md)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from paring.adapters.lowrank import LowRankLinear
from paring.policy.decoder import Rotary, Shape, decoder, is_written_out
from paring.policy.model import Forward, Policy
from paring.policy.recording import Recording
from paring.rollout.kernels import Kernel, PackedLinear, kernel_for


@dataclass(frozen=True)
class Sampler:
    """What sampling needs of a policy: hidden states, and fp32 logits [B, V] of hidden states [B, D]. `recording` gets
    what is computed, where that can be replayed."""

    hidden: Forward
    logits: Callable[[Tensor], Tensor]
    recording: Recording | None = None


@torch.no_grad()
def sampler(policy: Policy, recording: Recording | None = None, *, tokens: int = 0) -> Sampler:
    """The policy with its weights folded and packed as they are now, or as it stands where it is not written out or
    its weights are not dense fp32 on a CPU. `recording` gets its forward pass over at most so many tokens."""
    kernel = kernel_for(policy.device, policy.model.dtype)
    if kernel == "plain" or not is_written_out(policy.model) or not _is_dense(policy.model):
        return Sampler(policy.hidden, policy.logits)
    head = PackedLinear(policy.model.get_output_embeddings().weight, None, kernel)
    folded = decoder(policy.model, lambda module, shape: FoldedLayer(module, shape, kernel))
    if recording is not None:
        recording.begin(len(folded.layers), folded.layers[0].widths, tokens)
        for number, layer in enumerate(folded.layers):
            layer.keep = partial(recording.keep, number)
    return Sampler(folded, head, recording)


def forget(name: str, product: Tensor) -> None:
    """Who does not record."""


class FoldedLayer:
    """A decoder layer over packed weights; without a gradient.

    The features of each query and key head are reordered, by way of the weights, so that the two that are rotated
    together stand side by side: then one complex product rotates all heads. Scores do not depend on the order."""

    def __init__(self, module: nn.Module, shape: Shape, kernel: Kernel) -> None:
        attention, mlp = module.self_attn, module.mlp
        self.module, self.shape = module, shape
        self.keep: Callable[[str, Tensor], None] = forget
        paired = [
            tuple(_paired(rows, shape.head_size) for rows in _folded(projection))
            for projection in (attention.q_proj, attention.k_proj)
        ]
        self.qkv = _packed([*paired, _folded(attention.v_proj)], kernel)
        self.output = _packed([_folded(attention.o_proj)], kernel)
        self.gate_up = _packed([_folded(mlp.gate_proj), _folded(mlp.up_proj)], kernel)
        self.down = _packed([_folded(mlp.down_proj)], kernel)

    def queries_keys_values(self, hidden: Tensor, rotary: Rotary) -> tuple[Tensor, Tensor, Tensor]:
        shape = self.shape
        x = _normed(self.module.input_layernorm, hidden)
        heads = self._kept("heads", self.qkv(x)).unflatten(-1, (-1, shape.head_size))
        to_turn, value = heads.split([shape.heads + shape.key_heads, shape.key_heads], dim=2)
        if getattr(self.module.self_attn, "q_norm", None) is not None:
            to_turn = self._head_normed(to_turn)
        turned = torch.view_as_complex(to_turn.unflatten(-1, (-1, 2))) * rotary.turns
        query, key = torch.view_as_real(turned).flatten(-2).split([shape.heads, shape.key_heads], dim=2)
        return query, key, value

    def _head_normed(self, heads: Tensor) -> Tensor:
        """Queries and keys, each head normalised, as Qwen3 does."""
        attention, shape = self.module.self_attn, self.shape
        parts = heads.split([shape.heads, shape.key_heads], dim=2)
        normed = [
            functional.rms_norm(part, (shape.head_size,), _paired(norm.weight, shape.head_size), norm.variance_epsilon)
            for part, norm in zip(parts, (attention.q_norm, attention.k_norm), strict=True)
        ]
        return torch.cat(normed, dim=2)

    def with_attention(self, hidden: Tensor, attended: Tensor) -> Tensor:
        return self._kept("after_attention", self.output(attended).add_(hidden))

    def with_mlp(self, hidden: Tensor) -> Tensor:
        x = _normed(self.module.post_attention_layernorm, hidden)
        gate, up = self._kept("gate_up", self.gate_up(x)).chunk(2, dim=-1)
        return self._kept("after_mlp", self.down(functional.silu(gate).mul_(up)).add_(hidden))

    def _kept(self, name: str, product: Tensor) -> Tensor:
        """The product [B, N, F], after who records has seen it."""
        self.keep(name, product)
        return product

    @property
    def widths(self) -> dict[str, int]:
        """Features of what `keep` is shown, by name."""
        shape, attention, mlp = self.shape, self.module.self_attn, self.module.mlp
        hidden = attention.o_proj.out_features
        return {
            "heads": (shape.heads + 2 * shape.key_heads) * shape.head_size,
            "after_attention": hidden,
            "gate_up": 2 * mlp.gate_proj.out_features,
            "after_mlp": hidden,
        }


def _normed(norm: nn.Module, hidden: Tensor) -> Tensor:
    """torch's own, which for few rows and without a gradient takes half the time of ours."""
    return functional.rms_norm(hidden, norm.weight.shape, norm.weight, norm.variance_epsilon)


def _packed(parts: list[tuple[Tensor, Tensor | None]], kernel: Kernel) -> PackedLinear:
    """One product in place of several of the same input; parts are weights [O, I] and biases [O] or None."""
    weights, biases = zip(*parts, strict=True)
    bias_O = None if biases[0] is None else torch.cat(biases)
    return PackedLinear(torch.cat(weights) if len(parts) > 1 else weights[0], bias_O, kernel)


def _folded(module: nn.Module) -> tuple[Tensor, Tensor | None]:
    """W + s B diag(c) A [O, I], where there is an adapter that is on, else W; and the bias."""
    if not isinstance(module, LowRankLinear):
        return module.weight, module.bias
    weight_OI = module.base.weight
    if module.enabled:
        weight_OI = torch.addmm(weight_OI, module.gated_OR, module.A_RI, alpha=module.scale)
    return weight_OI, module.base.bias


def _paired(rows: Tensor | None, head_size: int) -> Tensor | None:
    """Output features d and d + D/2 of each head, which are rotated together, side by side: a weight's rows, a bias."""
    if rows is None:
        return None
    return rows.unflatten(0, (-1, 2, head_size // 2)).transpose(1, 2).flatten(0, 2)


def _is_dense(model: nn.Module) -> bool:
    """Whether every linear module is a plain nn.Linear: those of quantised models derive from it."""
    return all(type(module) is nn.Linear for module in model.modules() if isinstance(module, nn.Linear))
