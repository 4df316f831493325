"""The policy as a rollout runs it: adapters folded into the weights, products of one input joined, all packed.

Folding and packing cost about as much as three decoding steps, once a rollout (docs/performance.md)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from paring.adapters.lowrank import LowRankLinear
from paring.policy.decoder import Rotary, Shape, decoder_of, is_written_out
from paring.policy.llama import LlamaLayer, RmsNorm, head_norms
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
    head = PackedLinear(policy.head.weight, None, kernel)
    folded = decoder_of(policy.model, partial(FoldedLayer, kernel=kernel))
    if recording is not None:
        recording.begin(len(folded.layers), folded.layers[0].widths, tokens)
        for number, layer in enumerate(folded.layers):
            layer.keep = partial(recording.keep, number)
    return Sampler(folded, head, recording)


def forget(name: str, product: Tensor) -> None:
    """Keeps nothing: the layer is not recorded."""


class FoldedLayer:
    """A decoder layer over packed weights; without a gradient.

    The features of each query and key head are reordered, by way of the weights, so that the two that are rotated
    together stand side by side: then one complex product rotates all heads. Scores do not depend on the order."""

    def __init__(self, module: LlamaLayer, shape: Shape, kernel: Kernel) -> None:
        attention, mlp, size = module.self_attn, module.mlp, shape.head_size
        self.shape = shape
        self.keep: Callable[[str, Tensor], None] = forget
        self.before_attention, self.before_mlp = module.input_layernorm, module.post_attention_layernorm
        self.head_norms = head_norms(attention)
        query, key = (_folded(projection).paired(size) for projection in (attention.q_proj, attention.k_proj))
        self.qkv = _packed([query, key, _folded(attention.v_proj)], kernel)
        self.output = _packed([_folded(attention.o_proj)], kernel)
        self.gate_up = _packed([_folded(mlp.gate_proj), _folded(mlp.up_proj)], kernel)
        self.down = _packed([_folded(mlp.down_proj)], kernel)
        self.widths = {
            "heads": (shape.heads + 2 * shape.key_heads) * size,
            "after_attention": attention.config.hidden_size,
            "gate_up": 2 * attention.config.intermediate_size,
            "after_mlp": attention.config.hidden_size,
        }
        """Features of what `keep` is shown, by name."""

    def queries_keys_values(self, hidden: Tensor, rotary: Rotary) -> tuple[Tensor, Tensor, Tensor]:
        shape = self.shape
        x = _normed(self.before_attention, hidden)
        heads = self._kept("heads", self.qkv(x)).unflatten(-1, (-1, shape.head_size))
        to_turn, value = heads.split([shape.heads + shape.key_heads, shape.key_heads], dim=2)
        if self.head_norms is not None:
            to_turn = self._head_normed(to_turn, self.head_norms)
        turned = torch.view_as_complex(to_turn.unflatten(-1, (-1, 2))) * rotary.turns
        query, key = torch.view_as_real(turned).flatten(-2).split([shape.heads, shape.key_heads], dim=2)
        return query, key, value

    def _head_normed(self, heads: Tensor, norms: tuple[RmsNorm, RmsNorm]) -> Tensor:
        """Queries and keys, each head normalised, as Qwen3 does."""
        shape = self.shape
        parts = heads.split([shape.heads, shape.key_heads], dim=2)
        normed = [
            functional.rms_norm(part, (shape.head_size,), _paired(norm.weight, shape.head_size), norm.variance_epsilon)
            for part, norm in zip(parts, norms, strict=True)
        ]
        return torch.cat(normed, dim=2)

    def with_attention(self, hidden: Tensor, attended: Tensor) -> Tensor:
        return self._kept("after_attention", self.output(attended).add_(hidden))

    def with_mlp(self, hidden: Tensor) -> Tensor:
        x = _normed(self.before_mlp, hidden)
        gate, up = self._kept("gate_up", self.gate_up(x)).chunk(2, dim=-1)
        return self._kept("after_mlp", self.down(functional.silu(gate).mul_(up)).add_(hidden))

    def _kept(self, name: str, product: Tensor) -> Tensor:
        """The product [B, N, O], once the recording has it."""
        self.keep(name, product)
        return product


@dataclass(frozen=True)
class Folded:
    """The weight and the bias of a linear module with its adapter folded into it."""

    weight_OI: Tensor
    bias_O: Tensor | None

    def paired(self, head_size: int) -> "Folded":
        """With the output features of each head side by side as `_paired` says."""
        bias_O = None if self.bias_O is None else _paired(self.bias_O, head_size)
        return Folded(_paired(self.weight_OI, head_size), bias_O)


def _normed(norm: RmsNorm, hidden: Tensor) -> Tensor:
    """torch's own, which for few rows and without a gradient takes half the time of ours."""
    return functional.rms_norm(hidden, norm.weight.shape, norm.weight, norm.variance_epsilon)


def _packed(parts: Sequence[Folded], kernel: Kernel) -> PackedLinear:
    """One product in place of several of the same input. All of them have a bias, or none has."""
    biases = [part.bias_O for part in parts if part.bias_O is not None]
    weights = [part.weight_OI for part in parts]
    assert len(biases) in (0, len(parts)), "a bias in some of several products of one input"
    return PackedLinear(
        torch.cat(weights) if len(parts) > 1 else weights[0], torch.cat(biases) if biases else None, kernel
    )


def _folded(module: nn.Module) -> Folded:
    """W + s B diag(c) A [O, I], where there is an adapter that is on, else W; and the bias."""
    base = module.base if isinstance(module, LowRankLinear) else module
    assert isinstance(base, nn.Linear), type(base).__name__
    weight_OI: Tensor = base.weight
    if isinstance(module, LowRankLinear) and module.enabled:
        weight_OI = torch.addmm(weight_OI, module.gated_OR, module.A_RI, alpha=module.scale)
    return Folded(weight_OI, base.bias)


def _paired(rows: Tensor, head_size: int) -> Tensor:
    """Output features d and d + D/2 of each head, which are rotated together, side by side: a weight's rows, a bias."""
    return rows.unflatten(0, (-1, 2, head_size // 2)).transpose(1, 2).flatten(0, 2)


def _is_dense(model: nn.Module) -> bool:
    """Whether every linear module is a plain nn.Linear: those of quantised models derive from it."""
    return all(type(module) is nn.Linear for module in model.modules() if isinstance(module, nn.Linear))
