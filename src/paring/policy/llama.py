"""What our decoder reads of transformers' modules of the Llama family."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn


class LlamaConfig(Protocol):
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_key_value_heads: int
    sliding_window: int | None
    """Mistral's; the others hold one a layer."""


class RmsNorm(Protocol):
    weight: Tensor
    variance_epsilon: float


class LlamaAttention(Protocol):
    """Qwen2 and Qwen3 have `sliding_window` as well, Qwen3 also `q_norm` and `k_norm`."""

    config: LlamaConfig
    head_dim: int
    scaling: float
    q_proj: nn.Module
    k_proj: nn.Module
    v_proj: nn.Module
    o_proj: nn.Module


class LlamaMlp(Protocol):
    gate_proj: nn.Module
    up_proj: nn.Module
    down_proj: nn.Module


class LlamaLayer(Protocol):
    self_attn: LlamaAttention
    mlp: LlamaMlp
    input_layernorm: RmsNorm
    post_attention_layernorm: RmsNorm

    def modules(self) -> Iterator[nn.Module]: ...


class LlamaModel(Protocol):
    """Token embeddings, layers and final norm. `rotary_emb` gives cosine and sine [B, N, D] of positions [B, N], in the
    precision of the hidden states."""

    config: LlamaConfig
    dtype: torch.dtype
    embed_tokens: Callable[[Tensor], Tensor]
    layers: Sequence[LlamaLayer]
    norm: RmsNorm
    rotary_emb: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def head_norms(attention: LlamaAttention) -> tuple[RmsNorm, RmsNorm] | None:
    """The norms of each query and each key head before they are rotated: Qwen3 has them, the others do not."""
    query_norm, key_norm = (getattr(attention, name, None) for name in ("q_norm", "k_norm"))
    return None if query_norm is None or key_norm is None else (query_norm, key_norm)
