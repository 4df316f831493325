"""Rows of a rollout that a GPU's free memory holds, from the sizes of the model."""

from transformers import PreTrainedConfig, PreTrainedModel

from paring.runtime.gpu import free_bytes

USABLE = 0.8
"""The share of free memory that decoding may fill; the rest is for what the formulas below leave out."""
FP32 = 4
LOGITS_OF_A_ROW = 5
"""Logits, divided by the temperature, their exponentials, and sorted copies of them (noise.py)."""
SCORES_OF_A_ROW = 3
"""Scores of one layer, with their bias, and as weights (static.py)."""


def key_value_bytes(*, layers: int, key_heads: int, head_size: int, itemsize: int) -> int:
    """Bytes of a token's keys and values in all layers."""
    return 2 * layers * key_heads * head_size * itemsize


def bytes_of_group(config: PreTrainedConfig, *, itemsize: int, prompt: int, new_tokens: int, group_size: int) -> int:
    """Bytes that a group takes while it is decoded: its keys and values for as long as its rows may become, scores and
    logits of a step, and the prompt's pass."""
    text = config.get_text_config()
    heads: int = text.num_attention_heads
    head_size: int = getattr(text, "head_dim", None) or text.hidden_size // heads
    key_heads: int = getattr(text, "num_key_value_heads", None) or heads
    token = key_value_bytes(layers=text.num_hidden_layers, key_heads=key_heads, head_size=head_size, itemsize=itemsize)
    intermediate: int = getattr(text, "intermediate_size", None) or 4 * text.hidden_size
    row = LOGITS_OF_A_ROW * text.vocab_size + SCORES_OF_A_ROW * heads * (prompt + new_tokens)
    prefill = prompt * 3 * (intermediate + text.hidden_size) * itemsize
    return token * (prompt + group_size * new_tokens) + group_size * row * FP32 + prefill


def groups_that_fit(model: PreTrainedModel, prompt: int, new_tokens: int, group_size: int) -> int:
    """Groups that the free memory of the model's GPU holds. At least one: less cannot be decoded."""
    sizes = {"prompt": prompt, "new_tokens": new_tokens, "group_size": group_size}
    group = bytes_of_group(model.config, itemsize=model.dtype.itemsize, **sizes)
    return max(1, int(USABLE * free_bytes(model.device)) // group)
