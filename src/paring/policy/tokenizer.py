"""A model's tokenizer, with the chat template that the settings choose, and what ends an answer by that template."""

from collections.abc import Mapping

from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from paring.policy.rendering import check_time, closing_tokens, end_of
from paring.policy.stored_model import in_words
from paring.policy.templates import Template, set_template
from paring.runtime.text import one_line


class TokenizerRefused(ValueError):
    """A tokenizer that cannot be used, in words."""


def tokenizer_of(
    source: str, options: Mapping[str, str | bool], path: str, template: Template
) -> PreTrainedTokenizerBase:
    """The tokenizer at `source`, which the user calls `path`. Raises TokenizerRefused, and ValueError over a broken
    file."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False, **options)
    except Exception as error:  # as in load_base, libraries raise what they like
        raise ValueError(f"its tokenizer cannot be used: {in_words(error)}") from error
    if not isinstance(tokenizer.model_max_length, int | float):
        given = one_line(repr(tokenizer.model_max_length), 60)
        raise TokenizerRefused(
            f"model.path = {path!r}: its tokenizer has model_max_length = {given}: no number of tokens"
        )
    try:
        set_template(tokenizer, template)
        check_time(tokenizer)
    except ValueError as error:
        raise TokenizerRefused(str(error)) from error
    return tokenizer


def declare_ends(base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """What ends a turn by the chat template ends an answer too, here and where the model is exported to."""
    config = base.generation_config
    if config is None:
        return
    listed: int | list[int] | None = config.eos_token_id
    known = listed if isinstance(listed, list) else [] if listed is None else [listed]
    closing = closing_tokens(tokenizer)
    if not closing <= {*known, end_of(tokenizer)}:
        config.eos_token_id = [*known, *sorted(closing.difference(known))]
