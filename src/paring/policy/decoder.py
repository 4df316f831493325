"""The decoder of the Llama family, written out once: training runs it over modules, rollouts over packed weights.

transformers' own forward serves every other architecture. Which of the two a model gets does not show in its numbers:
`check_fits` probes it against transformers' logits when a policy is made."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaDecoderLayer, LlamaModel, LlamaRMSNorm

from paring.adapters.linear import is_dense
from paring.adapters.lowrank import LowRankLinear
from paring.maths.products import frozen_linear
from paring.policy.attention import TokenLayout
from paring.policy.fused import rms_norm, rotated, swiglu
from paring.policy.sharding import is_sharded, with_whole

WRITTEN_OUT = frozenset({"LlamaModel", "MistralModel", "Qwen2Model", "Qwen3Model"})
"""All have the modules of Llama, whose types stand for them here; Qwen3's attention also q_norm and k_norm."""


@dataclass(frozen=True)
class Rotary:
    """Rotary embedding of the positions: cosine and sine [B, N, 1, D], whose second half repeats the first."""

    cosine: Tensor
    sine: Tensor


@dataclass(frozen=True)
class Shape:
    """The sizes of a layer that attention needs. window: see TokenLayout."""

    heads: int
    key_heads: int
    head_size: int
    scale: float
    window: int | None


class Layer(Protocol):
    """A decoder layer, cut where the layout of the pass must act."""

    @property
    def shape(self) -> Shape: ...

    def queries_keys_values(self, hidden: Tensor, rotary: Rotary) -> tuple[Tensor, Tensor, Tensor]:
        """From hidden states [B, N, D], all rotated: [B, N, H, D], [B, N, H_kv, D], [B, N, H_kv, D]."""
        ...

    def with_attention(self, hidden: Tensor, attended: Tensor) -> Tensor:
        """Hidden states after the residual connection of attention; attended: [B, N, H x D]."""
        ...

    def with_mlp(self, hidden: Tensor) -> Tensor:
        """Hidden states after the residual connection of the MLP."""
        ...


@dataclass(frozen=True)
class Decoder:
    """Token embeddings, layers, final norm. `run` gives the hidden states after a layer. `activation_bytes` bounds what
    a forward pass with a gradient keeps for its backward: the first layers keep their input alone and are computed
    again where all would not fit."""

    model: LlamaModel
    layers: Sequence[Layer]
    run: "Run"
    activation_bytes: float = math.inf

    def __call__(
        self, token_BN: Tensor, position_BN: Tensor, layout: TokenLayout, trunk: Tensor | None = None
    ) -> Tensor:
        """Last hidden states [B, N, D] of the tokens, which attend as the layout says. `trunk`: what `below` gave for
        the same tokens, which then need not be computed again."""
        first, hidden = (0, self.embedded(token_BN)) if trunk is None else (self.first_adapted, trunk)
        hidden = self._layers(range(first, len(self.layers)), hidden, position_BN, layout)
        return normed(self.model.norm, hidden)

    def below(self, token_BN: Tensor, position_BN: Tensor, layout: TokenLayout) -> Tensor | None:
        """Hidden states below the first layer that has an adapter: the same for the policy, its reference and every
        update of a rollout. None where the first layer has one."""
        if self.first_adapted == 0:
            return None
        with torch.no_grad():
            return self._layers(range(self.first_adapted), self.embedded(token_BN), position_BN, layout)

    def embedded(self, token_BN: Tensor) -> Tensor:
        """Token embeddings [B, N, D] in the type of the hidden states."""
        return self.model.embed_tokens(token_BN).to(self.dtype)

    @cached_property
    def dtype(self) -> torch.dtype:
        """The type of the hidden states. On a CPU it is fp32 whatever the weights are: products are made in the type of
        the weights, and what lies between them costs as little in fp32."""
        return torch.float32 if self.model.device.type == "cpu" else self.model.dtype

    @cached_property
    def first_adapted(self) -> int:
        """Number of the first layer with an adapter, 0 if there is none."""
        adapted = (any(isinstance(m, LowRankLinear) for m in layer.modules()) for layer in self.model.layers)
        return next((number for number, has_adapter in enumerate(adapted) if has_adapter), 0)

    def _layers(self, numbers: range, hidden: Tensor, position_BN: Tensor, layout: TokenLayout) -> Tensor:
        rotary = self.rotary(hidden, position_BN)
        kept = int(min(len(self.layers), self.activation_bytes / (position_BN.numel() * self.bytes_per_token)))
        for number in numbers:
            given = (self.layers[number], number, hidden, rotary, layout)
            again = torch.is_grad_enabled() and number < numbers.stop - kept
            hidden = checkpoint(self.run, *given, use_reentrant=False) if again else self.run(*given)
        return hidden

    def rotary(self, hidden: Tensor, position_BN: Tensor) -> Rotary:
        """The embedding of these positions, in the precision and on the device of the hidden states."""
        cosine, sine = self.model.rotary_emb(hidden, position_BN)
        return Rotary(cosine[:, :, None], sine[:, :, None])

    @cached_property
    def bytes_per_token(self) -> int:
        """Bytes that one layer keeps of a token for its backward, about: the inputs of the norms and of the adapters,
        queries, keys, values and their padded copies, gate, up and their product."""
        config = self.model.config
        shape = self.layers[0].shape
        heads = (3 * shape.heads + 4 * shape.key_heads) * shape.head_size
        return (4 * config.hidden_size + heads + 3 * config.intermediate_size) * self.dtype.itemsize


def through(layer: Layer, number: int, hidden: Tensor, rotary: Rotary, layout: TokenLayout) -> Tensor:
    """Hidden states after layer `number`, from those before it."""
    query, key, value = (heads.transpose(1, 2) for heads in layer.queries_keys_values(hidden, rotary))
    shape = layer.shape
    attended = layout.attend(number, query, key, value, scale=shape.scale, window=shape.window)
    return layer.with_mlp(layer.with_attention(hidden, attended.flatten(-2)))


Run = Callable[[Layer, int, Tensor, Rotary, TokenLayout], Tensor]
Product = Callable[[str, nn.Module, Tensor], Tensor]
"""From an input to the output of the linear module of this name."""
Residual = Callable[[str, Tensor, Tensor], Tensor]
"""The residual connection after this module: of the hidden states before it, and its output."""


def computed(name: str, module: nn.Module, x: Tensor) -> Tensor:
    return frozen_linear(x, module.weight, module.bias) if is_dense(module) else module(x)


def added(name: str, hidden: Tensor, product: Tensor) -> Tensor:
    return hidden + product


@dataclass(frozen=True)
class ModuleLayer:
    """A layer as its modules compute it, adapters included, with a gradient. `product` and `residual` say how a linear
    module gives its output, and what comes of it: a replay knows them already."""

    module: LlamaDecoderLayer
    shape: Shape
    product: Product = computed
    residual: Residual = added

    def queries_keys_values(self, hidden: Tensor, rotary: Rotary) -> tuple[Tensor, Tensor, Tensor]:
        attention, size = self.module.self_attn, self.shape.head_size
        x = normed(self.module.input_layernorm, hidden)
        query, key, value = (
            self.product(name, getattr(attention, name), x).unflatten(-1, (-1, size))
            for name in ("q_proj", "k_proj", "v_proj")
        )
        if norms := head_norms(attention):
            query, key = normed(norms[0], query), normed(norms[1], key)
        return rotated(query, rotary.cosine, rotary.sine), rotated(key, rotary.cosine, rotary.sine), value

    def with_attention(self, hidden: Tensor, attended: Tensor) -> Tensor:
        return self.residual("o_proj", hidden, self.product("o_proj", self.module.self_attn.o_proj, attended))

    def with_mlp(self, hidden: Tensor) -> Tensor:
        mlp = self.module.mlp
        x = normed(self.module.post_attention_layernorm, hidden)
        gate, up = (self.product(name, getattr(mlp, name), x) for name in ("gate_proj", "up_proj"))
        return self.residual("down_proj", hidden, self.product("down_proj", mlp.down_proj, swiglu(gate, up)))


def is_written_out(model: PreTrainedModel) -> bool:
    """Whether Decoder computes what this model does: a known architecture with the usual activation."""
    config = model.config.get_text_config()
    return type(model.base_model).__name__ in WRITTEN_OUT and config.hidden_act == "silu"


def decoder(model: PreTrainedModel, *, activation_bytes: float = math.inf) -> Decoder:
    """The written-out decoder of a model over its own modules, adapters included."""
    assert is_written_out(model), type(model).__name__
    base = cast(LlamaModel, model.base_model)
    modules = cast("list[LlamaDecoderLayer]", list(base.layers))
    layers = [ModuleLayer(module, _shape(module.self_attn)) for module in modules]
    return Decoder(base, layers, _through_whole if is_sharded(model) else through, activation_bytes)


def _through_whole(layer: Layer, *given: object) -> Tensor:
    assert isinstance(layer, ModuleLayer)
    return with_whole(layer.module, through, layer, *given)


def _shape(attention: LlamaAttention) -> Shape:
    config = attention.config
    # Mistral keeps its window in the config alone, the others say for each layer whether it has one.
    holder = config if type(attention).__name__ == "MistralAttention" else attention
    window = getattr(holder, "sliding_window", None)
    key_heads = config.num_key_value_heads or config.num_attention_heads
    return Shape(config.num_attention_heads, key_heads, attention.head_dim, attention.scaling, window)


def head_norms(attention: LlamaAttention) -> tuple[LlamaRMSNorm, LlamaRMSNorm] | None:
    """The norms of each query and each key head before they are rotated: Qwen3 has them, the others do not."""
    query_norm, key_norm = (getattr(attention, name, None) for name in ("q_norm", "k_norm"))
    return None if query_norm is None or key_norm is None else (query_norm, key_norm)


def normed(norm: LlamaRMSNorm, hidden: Tensor) -> Tensor:
    return rms_norm(hidden, norm.weight, norm.variance_epsilon)
