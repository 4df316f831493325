"""One turn of a chat as data write it: roles and keys of several conventions, parts of text, tool calls, weights."""

import json

from paring.runtime.faults import RowFault
from paring.runtime.rows import ROLES, check_text, content_of
from paring.types import Json, Turn

SPEAKERS = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "model": "assistant"}
SPEAKERS |= dict.fromkeys(("bard", "bing", "claude", "ai"), "assistant")
SPEAKERS |= {"observation": "tool", "function_response": "tool", "function": "tool", "ipython": "tool"}
"""Roles as ShareGPT and its followers write them."""
CALLS = ("function_call", "tool_call")
"""Speakers whose turn is a call, as JSON."""
MAY_BE_BLANK = ("system", "developer", "tool")
"""Roles whose turns may say nothing: no system prompt in the place of a template's own, a tool without a result."""
REASONING = ("reasoning_content", "reasoning", "thinking")


def turn_of(turn: object, what: str, place: str) -> Turn:
    """A turn with all that a template may read of it. RowFault names the place and `what` it is if it is none."""
    if not isinstance(turn, dict):
        raise RowFault(place, "not a conversation", f'{what} must be an object with "role" and "content"')
    held: dict[str, Json] = {str(key): value for key, value in turn.items() if value is not None}
    if "from" in held and "role" not in held:
        held = {"role": held.pop("from"), "content": held.pop("value", held.pop("text", None)), **held}
    if isinstance(role := held.get("role"), str):
        held["role"] = SPEAKERS.get(role.strip().lower(), role.strip().lower())
    if held.get("role") in CALLS:
        held |= {"role": "assistant", "content": None, "tool_calls": [{"function": read_json(held.get("content"))}]}
    if "function_call" in held and "tool_calls" not in held:  # as OpenAI's older chats have a call
        held["tool_calls"] = [{"function": read_json(held.pop("function_call"))}]
    if "role" not in turn and "from" not in turn:
        raise RowFault(place, "not a conversation", f'{what} must be an object with "role" and "content"')
    if held.get("role") not in ROLES:
        words = f"{what}: role {held.get('role')!r} must be one of {', '.join(ROLES)}"
        raise RowFault(place, "not a conversation", words)
    if "tool_calls" in held:
        held["tool_calls"] = _checked_calls(read_json(held["tool_calls"]), what, place)
    _check_marks(held, what, place)
    for name in REASONING:
        if name in held and not isinstance(held[name], str):
            raise RowFault(place, "not a text", f"{what}: {name} is {type(held[name]).__name__}, a text is needed")
    content = content_of(held.get("content"))
    calls = held.get("tool_calls") or held.get("function_calls")
    if calls or (held["role"] == "assistant" and any(held.get(name) for name in REASONING)):
        if content is None or (isinstance(content, str) and not content.strip()):
            return {**held, "content": None if calls else ""}
    if content is None and not {"content", "value", "text"} & turn.keys():
        raise RowFault(place, "not a conversation", f'{what} must be an object with "role" and "content"')
    if content == "" and held["role"] in MAY_BE_BLANK:
        return {**held, "content": ""}
    return {**held, "content": check_text(content, f"{what}: content", place)}


def _checked_calls(calls: object, what: str, place: str) -> list[Json]:
    if not isinstance(calls, list):
        raise RowFault(place, "not a conversation", f"{what}: tool_calls must be a list")
    checked: list[Json] = []
    for call in calls:
        function = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            words = f'{what}: a tool call must be like {{"function": {{"name": ..., "arguments": ...}}}}'
            raise RowFault(place, "not a conversation", words)
        arguments = read_json(function.get("arguments") or {})
        if not isinstance(arguments, dict):
            words = f"{what}: the arguments of {function['name']!r} must be an object, or JSON of one"
            raise RowFault(place, "not a conversation", words)
        checked.append(call if function.get("arguments") else _with_arguments(call))
    return checked


def _with_arguments(call: dict[str, Json]) -> dict[str, Json]:
    """A call without arguments has none to read: templates expect an object."""
    function = call.get("function")
    return (
        {**call, "function": {**function, "arguments": {}}} if isinstance(function, dict) else {**call, "arguments": {}}
    )


def _check_marks(turn: Turn, what: str, place: str) -> None:
    """`weight` and `train` say whether an assistant's turn is learned, and nothing in between."""
    for name, values in (("weight", (0, 1)), ("train", (True, False))):
        if name in turn and turn[name] not in values:
            words = f"{what}: {name} = {turn[name]!r} must be {values[0]} or {values[1]}"
            raise RowFault(place, "not a conversation", words)
        if name in turn and turn[name] and name == "train" and turn["role"] != "assistant":
            words = f"{what}: train = true in a turn of the {turn['role']}'s; only the assistant's are learned"
            raise RowFault(place, "not a conversation", words)


def read_json(value: object) -> Json:
    """A text that is JSON, read; tables hold lists so. Anything else as it is."""
    if not isinstance(value, str):
        return value  # pyright: ignore[reportReturnType]  rows come from JSON or Arrow, whose values are plain
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
