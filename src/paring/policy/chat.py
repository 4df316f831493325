"""Messages -> token ids. The only file that knows a chat template."""

from collections.abc import Sequence

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from paring.types import Message

QUIETLY = {"verbose": False}
"""No warning of a long prompt: those that exceed the context are refused, in our own words."""


def prompt_tokens(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> tuple[int, ...]:
    """The prompt up to where the model answers. A tokenizer without a chat template gets the contents as plain
    paragraphs, as a base model expects. (transformers renders templates in its sandbox.)
    Raises ValueError where the template refuses the messages."""
    if tokenizer.chat_template is None:
        text = "\n\n".join(message["content"] for message in messages) + "\n"
        return tuple(tokenizer(text, **QUIETLY).input_ids)
    try:
        rendered = tokenizer.apply_chat_template(
            list(messages), add_generation_prompt=True, return_dict=True, tokenizer_kwargs=QUIETLY
        )
    except TemplateError as error:
        roles = ", ".join(message["role"] for message in messages)
        raise ValueError(
            f"the model's chat template refuses messages of the roles {roles}: {error}; choose a model that takes them"
        ) from error
    return tuple(rendered["input_ids"])


def answer_text(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> str:
    """A completion as text, without special tokens."""
    return tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
