"""The text of a conversation by a chat template, its tokens, and the tokens by which the template ends an answer."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import product

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from paring.policy.turns import spellings
from paring.settings.guard import guarded
from paring.types import Json, Turn

# What a template of a stranger's may raise while it is rendered.
FAILURES = (
    *(TemplateError, TypeError, ValueError, LookupError, AttributeError),
    *(ArithmeticError, RecursionError, MemoryError),
)
LONGEST_TEXT = 10_000_000
"""Characters that are still cut into tokens, for which a tokenizer takes some hundred bytes each."""
TEMPLATE_SECONDS = 10.0
"""A template may loop: those of models take less than a millisecond for a question."""
MARK = "paringmark"
QUESTION: Turn = {"role": "user", "content": "paringquestion"}
ANSWER: Turn = {"role": "assistant", "content": MARK}
CALL: Json = [{"type": "function", "id": "paringid9", "function": {"name": MARK, "arguments": {MARK: MARK}}}]
TOOLS: Sequence[Json] = (
    {"type": "function", "function": {"name": "paringtool", "description": "", "parameters": {"type": "object"}}},
)


class TemplateRefuses(ValueError):
    """A chat template that does not take a conversation."""


def end_of(tokenizer: PreTrainedTokenizerBase) -> int:
    end = tokenizer.eos_token_id
    assert isinstance(end, int), end
    return end


def text_tokens(tokenizer: PreTrainedTokenizerBase, text: str, *, special: bool = False) -> tuple[int, ...]:
    """No warning of a long prompt: those that exceed the context are refused, in our own words."""
    return tuple(tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"])


def check_time(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raises TemplateRefuses where a short conversation takes the chat template longer than TEMPLATE_SECONDS."""
    if tokenizer.chat_template is None:
        return
    for messages in ([QUESTION], [QUESTION, ANSWER, QUESTION]):
        try:
            with guarded("the model's chat template", seconds=TEMPLATE_SECONDS), suppress(*FAILURES):
                _by_template(tokenizer, messages, (), prompt=True)
        except TimeoutError as error:
            turns = f"{len(messages)} turn{'s' * (len(messages) > 1)}"
            raise TemplateRefuses(
                f"{error} for a conversation of {turns}: choose another by model.chat_template"
            ) from error


def rendered(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, Json]], tools: Sequence[Json], *, prompt: bool
) -> str:
    """The text of a conversation; as a `prompt` with what stands before an answer."""
    if tokenizer.chat_template is None:
        return _plain(messages, prompt=prompt)
    try:
        text = _by_template(tokenizer, messages, tools, prompt=prompt)
    except FAILURES as error:
        roles = ", ".join(str(message["role"]) for message in messages)
        reason = str(error) or type(error).__name__
        raise TemplateRefuses(
            f"the model's chat template refuses messages of the roles {roles}: {reason}; choose a model that "
            "takes them, or another template by model.chat_template"
        ) from error
    if len(text) > LONGEST_TEXT:
        raise TemplateRefuses(
            f"the model's chat template makes {len(text):,} characters of a conversation, and {LONGEST_TEXT:,} are the "
            "most: choose another by model.chat_template"
        )
    return text


def _by_template(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, Json]], tools: Sequence[Json], *, prompt: bool
) -> str:
    text = tokenizer.apply_chat_template(
        [dict(message) for message in messages],  # pyright: ignore[reportArgumentType]  turns hold more than texts
        tools=list(tools) or None,  # pyright: ignore[reportArgumentType]  a schema is any JSON
        add_generation_prompt=prompt,
        tokenize=False,
    )
    assert isinstance(text, str)
    return text


def _plain(messages: Sequence[Mapping[str, Json]], *, prompt: bool) -> str:
    """A base model without a template reads paragraphs, and answers once."""
    *before, last = [str(message["content"]) for message in messages]
    if prompt:
        return "\n\n".join([*before, last]) + "\n"
    if any(message["role"] == "assistant" for message in messages[:-1]):
        raise ValueError(
            "the model has no chat template, so a conversation can have one answer only: split it, or choose a "
            "template by model.chat_template"
        )
    return "\n\n".join(before) + "\n" + last


def closing_tokens(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The tokens by which the chat template ends an answer or a tool call, the end-of-sequence token among them."""
    template = tokenizer.chat_template
    return _closing(tokenizer, str(template)) if template is not None else frozenset({end_of(tokenizer)})


@lru_cache(maxsize=8)
def _closing(tokenizer: PreTrainedTokenizerBase, template: str) -> frozenset[int]:
    """`template` is the key of the cache alone: a tokenizer may be given another one."""
    ends, special = {end_of(tokenizer)}, set(tokenizer.all_special_ids)
    special |= {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    call: Turn = {"role": "assistant", "content": "", "tool_calls": CALL}
    for turn in (ANSWER, call):
        for spelt, tools in product(spellings([QUESTION, turn], template), ((), TOOLS)):
            try:
                _, mark, tail = rendered(tokenizer, spelt, tools, prompt=False).rpartition(MARK)
            except ValueError:
                continue  # not every template takes such a turn, and some take none without tools
            tokens = text_tokens(tokenizer, tail.rstrip()) if mark else ()
            # A call may end in special tokens of its own: the last of all ends it.
            run = _first_run(tokens, special) if turn is ANSWER else tokens
            if ends.isdisjoint(run):
                ends |= special.intersection(run[-1:])
            break
    return frozenset(ends)


def _first_run(tokens: Sequence[int], chosen: Collection[int]) -> list[int]:
    """The first chosen tokens that stand one after the other."""
    run: list[int] = []
    for token in tokens:
        if token in chosen:
            run.append(token)
        elif run:
            break
    return run
