"""Thoughts of an answer: what a prompt opens for them, what the model then has to write, how templates take them."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from paring.runtime.text import one_line
from paring.types import Json, Turn

SHOWN = 300
"""Characters of a text in an error."""
REASONING = ("reasoning_content", "reasoning", "thinking", "thought")
"""The names under which data hold the reasoning of a turn."""
ALIASES = ("reasoning_content", "reasoning", "thinking")
"""The names under which templates look for it."""
LONGEST_OPENING = 200
"""Characters of a prompt's end in which the beginning of an answer is looked for."""
TAGS = (
    (re.compile(r"<((?:\w+:)?(?:think|thinking|thought|reasoning|reason|scratchpad|answer)(?::\w+)?)>"), "</{}>"),
    (re.compile(r"\[(THINK)\]"), "[/{}]"),
    (re.compile(r"<\|START_(THINKING)\|>"), "<|END_{}|>"),
    (re.compile(r"<\|channel>(thought)\b"), "<channel|>"),
)
"""How a thought begins, and how it ends. `<answer>` begins an answer and is closed by it."""
EMPTY_THOUGHT = re.compile(r"(?:<think>|\A)\s*</think>|\[THINK\]\s*\[/THINK\]")
PARTS = re.compile(r"type\W{1,6}==\s*[\"']thinking[\"']")
"""A template that takes content in parts, of which one kind is a thought."""

Spelling = Callable[[Turn], dict[str, Json]]


@dataclass(frozen=True)
class Opening:
    """The beginning of the answer in a prompt: its text, and where it is; the tags, and whether both are there."""

    text: str
    start: int
    begin: str
    end: str
    closed: bool


def opening(prompt: str) -> Opening | None:
    """The thought or answer that a prompt begins, perhaps closed at once. `</think>` alone closes a thought, too."""
    offset = max(0, len(prompt) - LONGEST_OPENING)
    tail = prompt[offset:]
    for tag, ending in TAGS:
        for found in reversed(list(tag.finditer(tail))):
            end, behind = ending.format(found[1]), tail[found.end() :].strip()
            if behind in ("", end):
                return Opening(tail[found.start() :], offset + found.start(), found[0], end, behind == end)
    if closed := re.search(r"</think>\s*\Z", tail):
        return Opening(closed[0], offset + closed.start(), "", "</think>", True)
    return None


def after_opening(opened: Opening, added: str, answer: Turn) -> str:
    """The text that the model has to write behind what its prompt opens, from the text that the template adds.

    Raises ValueError for a thought behind one that the prompt has closed."""
    rest, thought = added.lstrip(), thought_of(answer)
    if opened.closed:
        if thought:
            name = next((f"its {name}" for name in REASONING if isinstance(answer.get(name), str)), "the thought")
            raise ValueError(
                f"{name} {one_line(thought, SHOWN)!r} does not reappear in what is learned: the prompt ends in "
                f"{opened.text!r}, which closes the thought before it begins. Set model.template_arguments, such as "
                "enable_thinking=true, or choose another model.chat_template"
            )
        repeated = re.match(rf"(?:{re.escape(opened.begin)}\s*)?{re.escape(opened.end)}", rest)
        blank = opened.text[len(opened.text.rstrip()) :]
        return rest[repeated.end() :].removeprefix(blank) if repeated else added
    body = rest.removeprefix(opened.begin).lstrip() if rest.startswith(opened.begin) else added
    if opened.begin == "<answer>":
        return body
    before, closed, _ = body.partition(opened.end)
    if not closed:
        end = f"\n{opened.end}\n\n" if opened.end.startswith("</") else opened.end
        return f"{thought}{end}{body.lstrip()}"
    return body if before.strip() or thought in body else f"{thought}{body}"


def thought_of(turn: Turn) -> str:
    """The reasoning of a turn: of a field of its own, or from its content up to `</think>`."""
    given = next((turn[name] for name in REASONING if isinstance(turn.get(name), str)), None)
    return given.strip() if isinstance(given, str) else _divided(turn)[0].strip()


def thought_spellings(turns: Sequence[Turn], template: str) -> Iterator[list[dict[str, Json]]]:
    """The conversation with its thoughts as templates take them: as they are given, as fields, as parts of the content,
    or within the content between `<think>` and `</think>`. The form that suits the template comes first."""
    fields = any(turn.get(name) for turn in turns for name in REASONING)
    within = any(_divided(turn)[1] for turn in turns)
    others: list[Spelling] = [_as_fields] * within
    if (fields or within) and PARTS.search(template):
        others.append(_as_parts)
    tagged = "<think>" in template or "</think>" in template
    orders: list[Spelling] = [*others, _given] if within and not tagged else [_given, *others]
    if fields and "<think>" in template:
        orders.append(_within_content)
    for spelt in orders:
        yield [spelt(turn) if turn["role"] == "assistant" else dict(turn) for turn in turns]


def _divided(turn: Turn) -> tuple[str, bool, str]:
    """The thought within the content, whether one is there, and the content without it."""
    content = turn.get("content")
    text = content if isinstance(content, str) else ""
    thought, closed, answer = text.partition("</think>")
    return (thought.rpartition("<think>")[2], True, answer) if closed else ("", False, text)


def _given(turn: Turn) -> dict[str, Json]:
    thought = next((turn[name] for name in REASONING if turn.get(name)), None)
    return dict(turn) | ({} if thought is None else dict.fromkeys(ALIASES, thought))


def _as_fields(turn: Turn) -> dict[str, Json]:
    thought, within, content = _divided(turn)
    if not within:
        return _given(turn)
    return dict(turn) | {"content": content.lstrip()} | dict.fromkeys(ALIASES, thought.strip())


def _as_parts(turn: Turn) -> dict[str, Json]:
    thought, content = thought_of(turn), _divided(turn)[2].lstrip()
    if not thought:
        return dict(turn)
    parts: list[Json] = [{"type": "thinking", "thinking": thought}]
    return _bare(turn) | {"content": [*parts, {"type": "text", "text": content}] if content else parts}


def _within_content(turn: Turn) -> dict[str, Json]:
    thought, content = thought_of(turn), _divided(turn)[2].lstrip()
    return _bare(turn) | {"content": f"<think>\n{thought}\n</think>\n\n{content}"} if thought else dict(turn)


def _bare(turn: Turn) -> dict[str, Json]:
    return {key: value for key, value in turn.items() if key not in REASONING}
