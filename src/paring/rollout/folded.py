"""The policy as a rollout runs it: adapters folded into fp32 weights, products of one input joined, all packed.

Folding and packing cost about as much as three decoding steps, once a rollout (docs/performance.md)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from paring.adapters.dora import DoraLinear
from paring.adapters.lowrank import LowRankLinear
from paring.maths.products import PackedLinear
from paring.policy.decoder import Layer, ModuleLayer, Rotary, head_norms
from paring.policy.fused import rotated
from paring.policy.recording import Recording


class Norm:
    """A norm by torch's own function, which for few rows and without a gradient takes half the time of ours."""

    def __init__(self, norm: LlamaRMSNorm) -> None:
        self.weight_D, self.epsilon = norm.weight.float(), norm.variance_epsilon

    def __call__(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, self.weight_D.shape, self.weight_D, self.epsilon)


class FoldedLayer:
    """Decoder layer `number` over packed weights, without a gradient; `recording` keeps what it computes. Decoding
    steps take its products and norms, and go another way between them where they can (rollout/steps.py)."""

    def __init__(self, layer: Layer, number: int, recording: Recording | None) -> None:
        assert isinstance(layer, ModuleLayer), type(layer).__name__
        module, shape, size = layer.module, layer.shape, layer.shape.head_size
        attention, mlp = module.self_attn, module.mlp
        self.shape, self.number, self.recording = shape, number, recording
        self.before_attention, self.before_mlp = Norm(module.input_layernorm), Norm(module.post_attention_layernorm)
        norms = head_norms(attention)
        self.head_norms = None if norms is None else (Norm(norms[0]), Norm(norms[1]))
        self.qkv = _packed([_part(attention.q_proj), _part(attention.k_proj), _part(attention.v_proj)])
        self.output = _packed([_part(attention.o_proj)])
        self.gate_up = _packed([_part(mlp.gate_proj), _part(mlp.up_proj)])
        self.down = _packed([_part(mlp.down_proj)])
        self.widths = {
            "heads": (shape.heads + 2 * shape.key_heads) * size,
            "after_attention": attention.config.hidden_size,
            "gate_up": 2 * attention.config.intermediate_size,
            "after_mlp": attention.config.hidden_size,
        }
        """Features of what is recorded, by name."""

    def queries_keys_values(self, hidden: Tensor, rotary: Rotary) -> tuple[Tensor, Tensor, Tensor]:
        shape, size = self.shape, self.shape.head_size
        x = self.before_attention(hidden)
        heads = self._kept("heads", self.qkv(x)).unflatten(-1, (-1, size))
        to_turn, value = heads.split([shape.heads + shape.key_heads, shape.key_heads], dim=2)
        if self.head_norms is not None:
            # Queries and keys, each head normalised, as Qwen3 does.
            parts = zip(to_turn.split([shape.heads, shape.key_heads], dim=2), self.head_norms, strict=True)
            to_turn = torch.cat([norm(part) for part, norm in parts], dim=2)
        turned = rotated(to_turn, rotary.cosine, rotary.sine)
        query, key = turned.split([shape.heads, shape.key_heads], dim=2)
        return query, key, value

    def with_attention(self, hidden: Tensor, attended: Tensor) -> Tensor:
        return self._kept("after_attention", self.output(attended).add_(hidden))

    def with_mlp(self, hidden: Tensor) -> Tensor:
        gate, up = self._kept("gate_up", self.gate_up(self.before_mlp(hidden))).chunk(2, dim=-1)
        return self._kept("after_mlp", self.down(functional.silu(gate).mul_(up)).add_(hidden))

    def address(self, name: str, tokens: int) -> int | None:
        """Where the recording, if there is one, wants this output for so many tokens."""
        return None if self.recording is None else self.recording.address(self.number, name, tokens)

    def _kept(self, name: str, product: Tensor) -> Tensor:
        """The product [B, N, O], once the recording has it."""
        if self.recording is not None:
            self.recording.keep(self.number, name, product)
        return product


@dataclass(frozen=True)
class _Part:
    """A linear module: W [O, I], bias, and adapter's A [R, I], B diag(c) [O, R] and s; R = 0 where none is on."""

    weight_OI: Tensor
    bias_O: Tensor | None
    A_RI: Tensor
    B_OR: Tensor
    scale: float

    def fold_into(self, out_OI: Tensor) -> None:
        """W + s B diag(c) A, in fp32."""
        if len(self.A_RI):
            torch.addmm(self.weight_OI, self.B_OR, self.A_RI, alpha=self.scale, out=out_OI)
        else:
            out_OI.copy_(self.weight_OI)


def _part(module: nn.Module) -> _Part:
    base = module.base if isinstance(module, LowRankLinear) else module
    assert isinstance(base, nn.Linear), type(base).__name__
    weight_OI, bias_O, scale = base.weight, base.bias, 1.0
    A_RI, B_OR = weight_OI.new_empty(0, weight_OI.shape[1]), weight_OI.new_empty(len(weight_OI), 0)
    if isinstance(module, DoraLinear) and module.enabled:
        weight_OI = weight_OI + module.delta_OI()
    elif isinstance(module, LowRankLinear) and module.enabled:
        A_RI, B_OR, scale = module.A_RI, module.gated_OR, module.scale
    return _Part(weight_OI, bias_O, A_RI, B_OR, scale)


def _packed(parts: Sequence[_Part]) -> Callable[[Tensor], Tensor]:
    """One product in place of several of the same input."""
    biases = [part.bias_O for part in parts if part.bias_O is not None]
    assert len(biases) in (0, len(parts)), "a bias in some of several products of one input"
    bias_O = torch.cat(biases) if biases else None
    if parts[0].weight_OI.dtype != torch.float32:
        return _beside(parts, bias_O)
    outputs = [len(part.weight_OI) for part in parts]
    weight_OI = parts[0].weight_OI.new_empty(sum(outputs), parts[0].weight_OI.shape[1])
    for part, out_OI in zip(parts, weight_OI.split(outputs), strict=True):
        part.fold_into(out_OI)
    return PackedLinear(weight_OI, bias_O)


def _beside(parts: Sequence[_Part], bias_O: Tensor | None) -> Callable[[Tensor], Tensor]:
    """W x + s B A x as the product of [W, s B] and [x, A x], in the type of W. A x itself is made in fp32: so small a
    product takes less than half the time there. Folded into a weight in bf16, an update below the rounding of the
    weight, 1/256 of it, would be lost."""
    weight_OI = torch.cat([part.weight_OI for part in parts])
    A_RI = torch.cat([part.A_RI.float() for part in parts])
    B_OR = torch.block_diag(*[(part.scale * part.B_OR).to(weight_OI.dtype) for part in parts])
    wide = PackedLinear(torch.cat([weight_OI, B_OR], dim=1), bias_O)
    return lambda x: wide(torch.cat([x, functional.linear(x, A_RI)], dim=-1))
