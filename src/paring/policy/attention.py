"""Where transformers' models meet our layouts: one attention function, which asks the layout of the pass."""

import math
from typing import Protocol

from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

NAME = "paring"
"""The name under which a model finds this attention: config._attn_implementation."""


class TokenLayout(Protocol):
    """How the tokens of one forward pass lie, and which of them look at which."""

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scale: float, window: int | None
    ) -> Tensor:
        """Attention of one layer. query [B, H, N, D]; key and value [B, H_kv, N, D], new tokens only.
        window: a token sees itself and the window - 1 tokens before it; None: all before it.
        Returns [B, N, H, D]."""
        ...


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,
    *,
    layout: TokenLayout | None = None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """transformers' attention interface; `layout` comes through the model's forward as a keyword."""
    if layout is None:
        raise ValueError(
            f"{type(module).__name__} does not pass on what it is called with, so packed attention does not know the "
            "layout of the tokens: choose a model that does (Llama, Qwen2, Qwen3, Mistral, ...)"
        )
    if softcap is not None or s_aux is not None:
        raise ValueError(
            f"{type(module).__name__} caps its attention scores or adds sinks to them, which packed attention "
            "does not do: choose a model without (Llama, Qwen2, Qwen3, Mistral, ...)"
        )
    scale = 1 / math.sqrt(query.shape[-1]) if scaling is None else scaling
    layer = module.layer_idx
    assert isinstance(layer, int)
    return layout.attend(layer, query, key, value, scale=scale, window=sliding_window), None


ALL_ATTENTION_FUNCTIONS.register(NAME, attention)
