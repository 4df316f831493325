"""An assistant's turn in pieces: what its rendering must show again, and the spellings that templates take it in."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from paring.policy.thoughts import REASONING, thought_spellings
from paring.types import Json, Turn

OURS = ("weight", "train")
"""What decides whether a turn is learned, and is no part of it."""
SWITCH = re.compile(r"/(?:no_)?think\b|/system_override\b")
"""Words of a system prompt that some templates obey and leave out."""


def is_learned(turn: Turn) -> bool:
    """An assistant's turn, unless its `weight` is 0 or its `train` false."""
    return turn["role"] == "assistant" and bool(turn.get("weight", 1)) and bool(turn.get("train", True))


def spellings(turns: Sequence[Turn], template: str) -> Iterator[list[dict[str, Json]]]:
    """The conversation as templates take it, the usual spelling first. They differ in thoughts, and in tool calls:
    arguments as an object or as JSON, and the content of a turn that only calls as an empty text or as none at all."""
    calls = any(turn.get("tool_calls") for turn in turns)
    for spelt in thought_spellings(turns, template):
        for as_text in (False, True) if calls else (False,):
            for absent in ("", None) if calls else ("",):
                yield [_spelt(turn, as_text=as_text, absent=absent) for turn in spelt]


def tool_name(tool: Json) -> str:
    """The name of a tool by its schema; empty where it has none."""
    return str(_function(tool).get("name", "")) if isinstance(tool, Mapping) else ""


def missing_piece(turn: Turn, rendered: str, ends: Sequence[str]) -> str | None:
    """The first piece of a turn that its rendering does not show, white space aside; None where all are there.
    `ends`: texts that may close the content and need not appear twice."""
    shown = _squeezed(rendered)
    for name, forms in _pieces(turn, ends):
        if not any(_squeezed(form) in shown for form in forms):
            return f"{name} {forms[0]!r}"
    return None


def is_shown(turn: Turn, prompt: str) -> bool:
    """Whether a prompt shows the content of a turn, white space and switches of the thought aside."""
    content, shown = _content(turn), _squeezed(SWITCH.sub("", prompt))
    return any(_squeezed(SWITCH.sub("", form)) in shown for form in _forms(content))


def _spelt(turn: Turn, *, as_text: bool, absent: str | None) -> dict[str, Json]:
    spelt: dict[str, Json] = {key: value for key, value in turn.items() if key not in OURS}
    content = turn.get("content")
    if turn.get("tool_calls"):
        spelt["tool_calls"] = [_call(call, as_text=as_text) for call in _calls(turn)]
        spelt["content"] = content or absent
    elif content is None:
        spelt["content"] = ""
    return spelt


def _call(call: Mapping[str, Json], *, as_text: bool) -> dict[str, Json]:
    function = _function(call)
    arguments = _read(function.get("arguments", {}))
    written = json.dumps(arguments, ensure_ascii=False) if as_text and not isinstance(arguments, str) else arguments
    return {"type": "function", **(call if "function" in call else {}), "function": {**function, "arguments": written}}


def _pieces(turn: Turn, ends: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Each piece by name, in every form that it may take."""
    content = _content(turn).rstrip()
    for end in ends:
        content = content.removesuffix(end).rstrip()
    thought, closed, answer = content.partition("</think>")
    if closed:
        yield "the thought", [thought.rpartition("<think>")[2]]
        content = answer
    yield "the content", [content]
    for name in REASONING:
        if isinstance(given := turn.get(name), str):
            yield f"its {name}", [given]
    if isinstance(calls := turn.get("function_calls"), str):
        yield "its function_calls", [calls]
    for call in _calls(turn):
        function = _function(call)
        yield "the tool call", [str(function.get("name", ""))]
        for value in _leaves(_read(function.get("arguments", {}))):
            yield "the argument", _forms(value)


def _forms(value: Json) -> list[str]:
    quoted = [json.dumps(value, ensure_ascii=ascii) for ascii in (False, True)]
    if isinstance(value, str):
        # The last: JSON within JSON.
        return [value, *(text[1:-1] for text in quoted), json.dumps(quoted[0], ensure_ascii=False)[3:-3]]
    return [*quoted, str(value)]


def _leaves(value: Json) -> Iterator[Json]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield key
            yield from _leaves(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner)
    elif value is not None:
        yield value


def _calls(turn: Turn) -> list[Mapping[str, Json]]:
    calls = turn.get("tool_calls")
    return [call for call in calls if isinstance(call, Mapping)] if isinstance(calls, list | tuple) else []


def _function(call: Mapping[str, Json]) -> Mapping[str, Json]:
    function = call.get("function", call)
    return function if isinstance(function, Mapping) else {}


def _read(arguments: Json) -> Json:
    """Arguments that stand as JSON in a text, read; any other text is left as it is."""
    if not isinstance(arguments, str):
        return arguments
    try:
        read = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    return read if isinstance(read, dict) else arguments


def _content(turn: Turn) -> str:
    content = turn.get("content")
    return content if isinstance(content, str) else ""


def _squeezed(text: str) -> str:
    return "".join(text.split())
