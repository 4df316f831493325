"""Messages -> token ids, and which of them are learned. What the model has to write is found by rendering."""

import re
from collections.abc import Collection, Sequence
from itertools import takewhile

from transformers import PreTrainedTokenizerBase

from paring.policy.packing import Labelled
from paring.policy.rendering import MARK, QUESTION, TemplateRefuses, closing_tokens, end_of, rendered, text_tokens
from paring.policy.thoughts import EMPTY_THOUGHT, SHOWN, Opening, after_opening, opening, thought_of
from paring.policy.turns import is_learned, is_shown, missing_piece, spellings, tool_name
from paring.runtime.text import one_line
from paring.types import Json, Turn

HALF_A_TAG = re.compile(r"[<\[][^<>\[\]]*\Z")
LONGEST_HEADER, SHORTEST_HEADER = 200, 3
"""Characters of a prompt's end by which an answer is found where earlier turns have changed."""
LAST_TOKENS = 32
"""Tokens of a prompt in which the beginning of an answer is looked for."""


def prompt_tokens(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Turn], *, tools: Sequence[Json] = ()
) -> tuple[int, ...]:
    """The prompt up to where the model answers. A tokenizer without a chat template gets the contents as plain
    paragraphs, as a base model expects. (transformers renders templates in its sandbox.)
    Raises ValueError where the template refuses the messages."""
    text = rendered(tokenizer, messages, tools, prompt=True)
    return text_tokens(tokenizer, text, special=tokenizer.chat_template is None)


def prompts_tokens(
    tokenizer: PreTrainedTokenizerBase, conversations: Sequence[Sequence[Turn]]
) -> list[tuple[int, ...]]:
    """`prompt_tokens` of each conversation, tokenised together, which is many times faster."""
    if not conversations:
        return []
    texts = [rendered(tokenizer, messages, (), prompt=True) for messages in conversations]
    tokens = tokenizer(texts, add_special_tokens=tokenizer.chat_template is None, verbose=False)["input_ids"]
    return [tuple(one) for one in tokens]


def conversation_tokens(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Turn],
    *,
    tools: Sequence[Json] = (),
    ends: Collection[int] = (),
) -> list[Labelled]:
    """A conversation as examples: every answer is learned once, after the prompt that it will be given to.

    One example holds all answers where the template leaves earlier turns as they are. Where it rewrites them, as
    templates that drop earlier thoughts do, each answer is an example of its own. Turns whose `weight` is 0 or whose
    `train` is false are read and not learned. Raises ValueError as `answer_tokens`, or where nothing is learned."""
    answers = [place for place, turn in enumerate(messages) if is_learned(turn)]
    if not answers:
        raise ValueError("no turn is learned: each assistant's turn has weight 0 or train false")
    examples: list[Labelled] = []
    for place in answers:
        try:
            one = answer_tokens(tokenizer, messages[: place + 1], tools=tools, ends=ends)
        except ValueError as error:
            raise ValueError(f"messages[{place}]: {error}") from error
        if examples and tuple(one.tokens[: len(examples[-1].tokens)]) == tuple(examples[-1].tokens):
            earlier = examples.pop().learned
            one = Labelled(one.tokens, (*earlier, *one.learned[len(earlier) :]))
        examples.append(one)
    return examples


def answer_tokens(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Turn],
    *,
    tools: Sequence[Json] = (),
    ends: Collection[int] = (),
) -> Labelled:
    """The prompt, and the last turn as the model has to write it: what its rendering adds to the prompt, up to the
    token that ends it. That is the first of `ends`, the end-of-sequence token and the template's own end; where the
    template writes none, an end-of-sequence token is put there.

    Raises ValueError where the rendering does not go on from the prompt, or does not show all of the turn: the model
    would learn another answer than the data's, or answers to prompts that it will not get."""
    faults: list[ValueError] = []
    for spelt in spellings(messages, str(tokenizer.chat_template)):
        try:
            prompt = rendered(tokenizer, spelt[:-1], tools, prompt=True)
            whole = rendered(tokenizer, spelt, tools, prompt=False)
            opened = _opened(prompt, messages[:-1])
            if whole.startswith(prompt):
                added = whole[len(prompt) :]
            else:
                unanswered = rendered(tokenizer, spelt[:-1], tools, prompt=False)
                added = _continuation(prompt, whole, unanswered, messages[-1], opened)
            _check_tools(tools, prompt)
            if added and opened is not None:
                added = after_opening(opened, added, messages[-1])
            example = _learned(tokenizer, prompt, added, messages[-1], ends)
            _check_context(messages[:-1], prompt)
            return example
        except ValueError as error:
            faults.append(error)
    # What a template drops says more than that it refuses another spelling.
    raise next((fault for fault in faults if not isinstance(fault, TemplateRefuses)), faults[0])


def _check_tools(tools: Sequence[Json], prompt: str) -> None:
    for tool in tools:
        name = tool_name(tool)
        if name not in prompt:
            raise ValueError(
                f"the tool {name!r} does not reappear in the prompt: the model's chat template leaves tools out. "
                "Choose another by model.chat_template, or remove the tools from the row"
            )


def _check_context(before: Sequence[Turn], prompt: str) -> None:
    """Raises ValueError for a turn of others than the assistant that the prompt does not show."""
    for turn in before:
        if turn["role"] != "assistant" and not is_shown(turn, prompt):
            raise ValueError(
                f"the {turn['role']}'s turn {one_line(str(turn['content']), SHOWN)!r} does not reappear in the prompt: "
                "the model's chat template leaves it out. Choose another by model.chat_template, or remove the turn"
            )


def reply_tokens(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Turn], *, is_closed: bool) -> tuple[int, ...]:
    """The tokens between an answer and the next one: what the template writes behind an answer, these turns, and what
    stands before the next answer. `is_closed`: the answer has the token that ends it.

    Raises ValueError where the template refuses such turns, or does not show them."""
    answer: Turn = {"role": "assistant", "content": MARK}
    _, mark, tail = rendered(tokenizer, [QUESTION, answer, *messages], (), prompt=True).partition(MARK)
    if not mark or not all(str(turn["content"]).strip() in tail for turn in messages):
        raise ValueError(
            "the model's chat template does not show what an environment says after an answer. Choose another by "
            "model.chat_template"
        )
    tokens = text_tokens(tokenizer, tail)
    if is_closed:
        closing = closing_tokens(tokenizer)
        end = next((place for place, token in enumerate(tokens) if token in closing), None)
        if end is not None and not str(tokenizer.decode(list(tokens[:end]))).strip():
            return tokens[end + 1 :]
    return tokens


def answer_text(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int], prompt: Sequence[int] = ()) -> str:
    """A completion as text, after what its `prompt` begins of the answer. Ends and padding are left out; other special
    tokens, such as tags, are part of it."""
    silent = (tokenizer.eos_token_id, tokenizer.pad_token_id)
    kept = [token for token in tokens if token not in silent]
    text = tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    assert isinstance(text, str)
    return opened_text(tokenizer, prompt) + text if prompt else text


def opened_text(tokenizer: PreTrainedTokenizerBase, prompt: Sequence[int]) -> str:
    """The part of the answer with which a prompt ends, such as `<think>`: it is judged with the completion."""
    text = tokenizer.decode(list(prompt[-LAST_TOKENS:]), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    found = opening(str(text))
    return found.text if found else ""


def _opened(prompt: str, before: Sequence[Turn]) -> Opening | None:
    """The beginning of the answer that the template writes into a prompt: not the end of the last turn."""
    asked = str(before[-1].get("content") or "").strip() if before else ""
    return None if asked and prompt.rstrip().endswith(asked) else opening(prompt)


def _continuation(prompt: str, whole: str, unanswered: str, answer: Turn, opened: Opening | None) -> str:
    """The text after the prompt, where the rendering of an answer does not begin with it. `unanswered`: the
    rendering without the answer. Either the prompt goes further and begins the answer for the model, by a tag or an
    empty thought that the template does not write itself; or the template changes earlier turns once they are answered.
    The model is given the prompt, so the answer is put there.

    Raises ValueError where the answer cannot be found in the rendering."""
    head = prompt[: opened.start] if opened else _shared(prompt, whole)
    if not (whole.startswith(head) and head.startswith(unanswered)):
        return _after_the_header(prompt, whole, answer)
    return whole[len(head) :]


def _after_the_header(prompt: str, whole: str, answer: Turn) -> str:
    """The text behind the end of the prompt, as much of it as the rendering has, if it shows all of the answer."""
    for size in range(min(len(prompt), LONGEST_HEADER), SHORTEST_HEADER - 1, -1):
        header, end = prompt[-size:], len(whole)
        while (start := whole.rfind(header, 0, end)) >= 0:
            if missing_piece(answer, whole[start + size :], ()) is None:
                return whole[start + size :]
            end = start + size - 1
    raise ValueError(
        "the model's chat template writes the answer somewhere else than behind its prompt, or not at all. Choose "
        "another template by model.chat_template"
    )


def _shared(one: str, other: str) -> str:
    """The text with which both begin, up to where a tag of one of them begins."""
    same = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return HALF_A_TAG.sub("", "".join(character for character, _ in same))


def _learned(
    tokenizer: PreTrainedTokenizerBase, prompt: str, added: str, answer: Turn, ends: Collection[int]
) -> Labelled:
    if not added:
        raise ValueError("the model's chat template leaves the answer out")
    plain = tokenizer.chat_template is None
    closing = closing_tokens(tokenizer) | frozenset(ends)
    before = text_tokens(tokenizer, prompt, special=plain)
    after = _after(tokenizer, before, prompt, added, plain=plain)
    end = next((place for place, token in enumerate(after) if token in closing), None)
    names = [str(tokenizer.convert_ids_to_tokens(token)) for token in sorted(closing)]
    shown = added[: min((place for name in names if (place := added.find(name)) >= 0), default=len(added))]
    if missing := missing_piece(answer, shown, names):
        raise ValueError(
            f"{one_line(missing, SHOWN)} does not reappear in what is learned, {one_line(shown, SHOWN)!r}: the model's "
            "chat template drops or changes it. Set model.template_arguments, or choose another model.chat_template"
        )
    if thought_of(answer) and EMPTY_THOUGHT.search(opened_text(tokenizer, before) + shown):
        raise ValueError(
            f"an empty thought stands beside the turn's own in what is learned, {one_line(shown, SHOWN)!r}. Set "
            "model.template_arguments, or choose another model.chat_template"
        )
    if end is None:
        content = answer.get("content")
        if not (isinstance(content, str) and content and added.endswith(content)):
            after = _after(tokenizer, before, prompt, added.rstrip(), plain=plain)
        after = (*after, end_of(tokenizer))
    else:
        after = after[: end + 1]
    return Labelled((*before, *after), (False,) * len(before) + (True,) * len(after))


def _after(
    tokenizer: PreTrainedTokenizerBase, before: tuple[int, ...], prompt: str, added: str, *, plain: bool
) -> tuple[int, ...]:
    """The tokens of what is added to a prompt. Where a token would span the seam, both sides are cut there, since the
    model is given the prompt alone."""
    if plain:
        return text_tokens(tokenizer, added)
    whole = text_tokens(tokenizer, prompt + added)
    if whole[: len(before)] == before:
        return whole[len(before) :]
    after = text_tokens(tokenizer, added)
    if tokenizer.decode([*before, *after]) != tokenizer.decode(list(whole)):
        raise ValueError("the tokens of the prompt change once the answer follows it; begin the answer with a letter")
    return after
