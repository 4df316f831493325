"""Messages -> token ids, and which of them are learned. The only file that knows a chat template."""

from collections.abc import Sequence

from jinja2 import TemplateError
from transformers import BatchEncoding, PreTrainedTokenizerBase

from paring.policy.packing import Labelled
from paring.types import Message


def prompt_tokens(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> tuple[int, ...]:
    """The prompt up to where the model answers. A tokenizer without a chat template gets the contents as plain
    paragraphs, as a base model expects. (transformers renders templates in its sandbox.)
    Raises ValueError where the template refuses the messages."""
    if tokenizer.chat_template is None:
        text = "\n\n".join(message["content"] for message in messages) + "\n"
        return _tokens(tokenizer, text)
    return _rendered(tokenizer, messages, add_generation_prompt=True)


def conversation_tokens(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> Labelled:
    """A conversation whose last turn is the assistant's; the model learns the tokens that it has to write.

    Those are, for each assistant turn, the tokens that its rendering adds to the prompt that `prompt_tokens` gives for
    the messages before it, the end-of-turn token among them. Without a chat template: prompt, answer, end-of-sequence
    token. Raises ValueError where a rendering does not begin with the one before it: the model would learn to answer
    other prompts than those it will get."""
    if tokenizer.chat_template is None:
        return _plain(tokenizer, messages)
    tokens: tuple[int, ...] = ()
    learned: tuple[bool, ...] = ()
    for turn in (turn for turn, message in enumerate(messages) if message["role"] == "assistant"):
        prompt = prompt_tokens(tokenizer, messages[:turn])
        answered = _rendered(tokenizer, messages[: turn + 1], add_generation_prompt=False)
        if prompt[: len(tokens)] != tokens or answered[: len(prompt)] != prompt:
            raise ValueError(
                f"messages[{turn}]: the model's chat template is not prefix-stable here: the tokens of the turns "
                "before an answer change once it is there. If the answer begins with white space, strip it; if only "
                "later answers are refused, cut the conversation after its first; else choose another model"
            )
        if len(answered) == len(prompt):
            raise ValueError(f"messages[{turn}]: the model's chat template leaves the answer out")
        learned += (False,) * (len(prompt) - len(tokens)) + (True,) * (len(answered) - len(prompt))
        tokens = answered
    return Labelled(tokens, learned)


def _plain(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> Labelled:
    """A base model without a template learns one answer, which ends with the end-of-sequence token."""
    *before, answer = messages
    if any(message["role"] == "assistant" for message in before):
        raise ValueError("the model has no chat template, so a conversation can have one answer only: split it")
    prompt, end = prompt_tokens(tokenizer, before), tokenizer.eos_token_id
    assert isinstance(end, int), end
    answered = (*_tokens(tokenizer, answer["content"], special=False), end)
    return Labelled((*prompt, *answered), (False,) * len(prompt) + (True,) * len(answered))


def _tokens(tokenizer: PreTrainedTokenizerBase, text: str, *, special: bool = True) -> tuple[int, ...]:
    """No warning of a long prompt: those that exceed the context are refused, in our own words."""
    return tuple(tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"])


def _rendered(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], *, add_generation_prompt: bool
) -> tuple[int, ...]:
    try:
        rendered = tokenizer.apply_chat_template(
            list(messages),
            add_generation_prompt=add_generation_prompt,
            return_dict=True,
            tokenizer_kwargs={"verbose": False},
        )
    except TemplateError as error:
        roles = ", ".join(message["role"] for message in messages)
        raise ValueError(
            f"the model's chat template refuses messages of the roles {roles}: {error}; choose a model that takes them"
        ) from error
    assert isinstance(rendered, BatchEncoding)
    return tuple(rendered["input_ids"])


def answer_text(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> str:
    """A completion as text, without special tokens."""
    text = tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert isinstance(text, str)
    return text
