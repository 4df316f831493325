"""Where transformers' models meet our layouts: one attention function, which asks the layout of the pass."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol
from weakref import WeakKeyDictionary

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from paring.policy.scores import PLAIN, Scores

NAME = "paring"
"""The name under which a model finds this attention: config._attn_implementation."""
HARMLESS = frozenset(
    {"dropout", "position_ids", "position_embeddings", "cache_position", "past_key_values", "output_attentions"}
    | {"output_hidden_states", "output_router_logits", "use_cache", "return_dict", "logits_to_keep"}
)
"""Keywords that models pass to their attention and that change nothing of it outside training."""
_own: WeakKeyDictionary[PreTrainedModel, str] = WeakKeyDictionary()
"""The attention with which a model was loaded."""


class TokenLayout(Protocol):
    """How the tokens of one forward pass lie, and which of them look at which."""

    def attend(
        self,
        layer: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        scale: float,
        window: int | None,
        scores: Scores = PLAIN,
    ) -> Tensor:
        """Attention of one layer. query [B, H, N, D]; key and value [B, H_kv, N, D], new tokens only.
        window: a token sees itself and the window - 1 tokens before it; None: all before it.
        scores: what else acts on the scores.
        Returns [B, N, H, D]."""
        ...


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    layout: TokenLayout | None = None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    is_causal: bool | None = None,
    **given: object,
) -> tuple[Tensor, None]:
    """transformers' attention interface; `layout` comes through the model's forward as a keyword.

    Raises ValueError, whose text is the reason why a model is not packed, for all that it does not compute."""
    if layout is None:
        raise ValueError("its attention does not get the layout of a packed row")
    asked = [name for name, value in given.items() if name not in HARMLESS and value is not None and value is not False]
    if asked:
        raise ValueError(f'packed attention does not compute "{", ".join(asked)}"')
    scores = Scores(softcap, s_aux)
    if query.is_cuda and scores != PLAIN:
        raise ValueError("packed attention has no caps of scores and no sinks on a GPU")
    if attention_mask is not None:
        raise ValueError("packed attention does not take the mask that the model makes")
    if key.shape[2] != query.shape[2] or (is_causal is False and query.shape[2] > 1):
        raise ValueError("packed attention is causal, over the tokens of the pass themselves")
    scale = 1 / math.sqrt(query.shape[-1]) if scaling is None else scaling
    layer = module.layer_idx
    assert isinstance(layer, int)
    return layout.attend(layer, query, key, value, scale=scale, window=sliding_window, scores=scores), None


def use_packed(model: PreTrainedModel) -> None:
    """Let the model attend as the layout of each pass says."""
    if model.config._attn_implementation != NAME:
        _own[model] = model.config._attn_implementation or "eager"
    model.set_attn_implementation(NAME)


def use_own(model: PreTrainedModel) -> None:
    """Let the model attend as it did when it was loaded."""
    if model in _own or model.config._attn_implementation == NAME:
        model.set_attn_implementation(_own.get(model, "eager"))


@contextmanager
def own(model: PreTrainedModel) -> Iterator[None]:
    """Within it the model attends as when it was loaded; afterwards as before."""
    was_packed = model.config._attn_implementation == NAME
    use_own(model)
    try:
        yield
    finally:
        if was_packed:
            use_packed(model)


ALL_ATTENTION_FUNCTIONS.register(NAME, attention)
