"""The policy as a rollout runs it: adapters folded into a copy of the weights, products of one input joined, all packed.

Folding and packing cost about as much as four decoding steps, once a rollout; adapters beside the weights would cost a
third of every step (docs/performance.md)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from paring.adapters.lowrank import LowRankLinear
from paring.policy.decoder import Rotary, Shape, decoder, head_normed, is_written_out
from paring.policy.fused import rotated
from paring.policy.model import Forward, Policy
from paring.rollout.kernels import Kernel, PackedLinear, kernel_for


@dataclass(frozen=True)
class Sampler:
    """What sampling needs of a policy: hidden states, and fp32 logits [B, V] of hidden states [B, D]."""

    hidden: Forward
    logits: Callable[[Tensor], Tensor]


@torch.no_grad()
def sampler(policy: Policy) -> Sampler:
    """The policy with its weights folded and packed as they are now, or as it stands where it is not written out or
    its weights are not dense fp32 on a CPU."""
    kernel = kernel_for(policy.device, policy.model.dtype)
    if kernel == "plain" or not is_written_out(policy.model) or not _is_dense(policy.model):
        return Sampler(policy.hidden, policy.logits)
    head = PackedLinear(policy.model.get_output_embeddings().weight, None, kernel)
    return Sampler(decoder(policy.model, lambda module, shape: FoldedLayer(module, shape, kernel)), head)


class FoldedLayer:
    """A decoder layer over packed weights; without a gradient."""

    def __init__(self, module: nn.Module, shape: Shape, kernel: Kernel) -> None:
        attention, mlp = module.self_attn, module.mlp
        self.module, self.shape = module, shape
        self.qkv = _packed([attention.q_proj, attention.k_proj, attention.v_proj], kernel)
        self.output = _packed([attention.o_proj], kernel)
        self.gate_up = _packed([mlp.gate_proj, mlp.up_proj], kernel)
        self.down = _packed([mlp.down_proj], kernel)

    def queries_keys_values(self, hidden: Tensor, rotary: Rotary) -> tuple[Tensor, Tensor, Tensor]:
        shape = self.shape
        x = _normed(self.module.input_layernorm, hidden)
        heads = self.qkv(x).unflatten(-1, (-1, shape.head_size))
        query, key, value = heads.split([shape.heads, shape.key_heads, shape.key_heads], dim=2)
        query, key = head_normed(self.module.self_attn, query, key)
        return rotated(query, *rotary), rotated(key, *rotary), value

    def with_attention(self, hidden: Tensor, attended: Tensor) -> Tensor:
        return self.output(attended).add_(hidden)

    def with_mlp(self, hidden: Tensor) -> Tensor:
        x = _normed(self.module.post_attention_layernorm, hidden)
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(functional.silu(gate).mul_(up)).add_(hidden)


def _normed(norm: nn.Module, hidden: Tensor) -> Tensor:
    """torch's own kernel, which needs no gradient here: a fifth of the time for few rows."""
    return functional.rms_norm(hidden, norm.weight.shape, norm.weight, norm.variance_epsilon)


def _packed(modules: list[nn.Module], kernel: Kernel) -> PackedLinear:
    """One product in place of several with the same input."""
    biases = [_base(module).bias for module in modules]
    weight_OI = torch.cat([_folded(module) for module in modules]) if len(modules) > 1 else _folded(modules[0])
    return PackedLinear(weight_OI, None if biases[0] is None else torch.cat(biases), kernel)


def _folded(module: nn.Module) -> Tensor:
    """W + s B A where there is an adapter that is on: [O, I]."""
    weight_OI = _base(module).weight
    if not isinstance(module, LowRankLinear) or not module.enabled:
        return weight_OI
    return torch.addmm(weight_OI, module.B_OR, module.A_RI, alpha=module.scale)


def _base(module: nn.Module) -> nn.Module:
    return module.base if isinstance(module, LowRankLinear) else module


def _is_dense(model: nn.Module) -> bool:
    """Whether every linear module is a plain nn.Linear: those of quantised models derive from it."""
    return all(type(module) is nn.Linear for module in model.modules() if isinstance(module, nn.Linear))
