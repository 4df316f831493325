"""The fields of a row, checked one by one, with errors that name the place."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from paring.runtime.data_files import check_is_file
from paring.runtime.faults import RowFault
from paring.runtime.json_files import line_values
from paring.types import Message

ROLES = ("system", "developer", "user", "assistant", "tool", "environment")


@dataclass(frozen=True, slots=True)
class Row:
    """Fields of one row, and its place (`train.jsonl:17`) for errors that are found later."""

    place: str
    fields: dict[str, str]

    def __getitem__(self, field: str) -> str:
        return self.fields[field]


def jsonl_values(path: str | Path, fields: Sequence[str]) -> Iterator[tuple[object, str]]:
    """The value of each line that is not blank, not yet checked, and its place. `fields` serve the error alone.

    Raises FileNotFoundError if there is no such file, and ValueError naming the file and the line if the file is
    empty, a line is too long, not UTF-8 or not JSON.
    """
    path = Path(path).expanduser()
    check_is_file(path, fields)
    with path.open("rb") as file:
        for value, place in line_values(file, path):
            if isinstance(value, RowFault):
                raise value
            yield value, place


def checked_row(value: object, fields: Sequence[str], place: str) -> Row:
    """The named fields of a parsed row. RowFault names the place if one is missing or is no usable text or number."""
    return Row(place, {field: check_text(text_of(value, field, place), f"field {field!r}", place) for field in fields})


def field_of(value: object, field: str, place: str) -> object:
    """The value of a field of a parsed row. RowFault names the place if the row is no object or has no such field."""
    if not isinstance(value, dict):
        raise RowFault(place, "not an object", f"a JSON object is needed, not {_named(value)}")
    if field not in value:
        there = ", ".join(map(repr, value)) or "none"
        raise RowFault(place, "without a field", f"field {field!r} is missing; there are: {there}")
    return value[field]


def text_of(value: object, field: str, place: str) -> object:
    """The value of a field, a number as its text: 5, 0.5, and 5 for 5.0, which is how tables hold whole numbers that
    have gaps between them. Raises RowFault as `field_of`."""
    found = field_of(value, field, place)
    if isinstance(found, float) and math.isfinite(found):
        return str(int(found)) if found.is_integer() and abs(found) < 2**53 else repr(found)
    return str(found) if isinstance(found, int) and not isinstance(found, bool) else found


def check_text(text: object, what: str, place: str) -> str:
    """The text itself. RowFault names the place and `what` it is if it is blank or no text that a tokenizer takes."""
    if not isinstance(text, str):
        raise RowFault(place, "not a text", f"{what} is {_named(text)}, a string in quotes is needed")
    if not text.strip():
        raise RowFault(place, "blank", f"{what} is blank")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        words = f"{what} holds half a surrogate pair, which no tokenizer takes"
        raise RowFault(place, "not a text", words) from error
    return text


def _named(value: object) -> str:
    """What a value is: its type, or null, nan, inf."""
    is_number = isinstance(value, float) and math.isfinite(value)
    return (
        "null" if value is None else str(value) if isinstance(value, float) and not is_number else type(value).__name__
    )


def message_of(turn: object, what: str, place: str) -> Message:
    """A turn of a prompt. RowFault names the place and `what` it is if it is none."""
    if not isinstance(turn, dict) or not {"role", "content"} <= turn.keys():
        raise RowFault(place, "not a conversation", f'{what} must be an object with "role" and "content"')
    if turn["role"] not in ROLES:
        words = f"{what}: role {turn['role']!r} must be one of {', '.join(ROLES)}"
        raise RowFault(place, "not a conversation", words)
    return {"role": turn["role"], "content": check_text(content_of(turn["content"]), f"{what}: content", place)}


def content_of(content: object) -> object:
    """The content of a turn, parts of text joined to one; whatever holds anything else is left as it is."""
    if not isinstance(content, list) or not content:
        return content
    texts = [
        part.get("text") if isinstance(part, dict) and part.get("type", "text") == "text" else None for part in content
    ]
    return (
        "".join(text for text in texts if isinstance(text, str)) if all(isinstance(t, str) for t in texts) else content
    )
