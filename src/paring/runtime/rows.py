"""Rows of text from JSON Lines files and from the hub, checked one by one, with errors that name the place."""

import json
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from paring.types import Message

ROLES = ("system", "user", "assistant")
LONGEST_LINE = 2**20
"""Bytes. A longer line is an error, so that a file which is no JSON Lines cannot fill the memory."""


@dataclass(frozen=True, slots=True)
class Row:
    """Fields of one row, and its place (`train.jsonl:17`) for errors that are found later."""

    place: str
    fields: dict[str, str]

    def __getitem__(self, field: str) -> str:
        return self.fields[field]


def read_jsonl(path: str | Path, fields: Sequence[str]) -> list[Row]:
    """One row for each line that is not blank, holding the named fields only.

    Raises FileNotFoundError if there is no such file, and ValueError naming the file and the line if the file is
    empty, a line is too long, not UTF-8 or not a JSON object, or a field is missing, not a string or blank.
    """
    return [checked_row(value, fields, place) for value, place in jsonl_values(path, fields)]


def read_hub(name: str, config: str, split: str, fields: Sequence[str]) -> list[Row]:
    """The rows of a data set on the Hugging Face hub, checked like those of a file. Raises as `hub_values` does."""
    return [checked_row(value, fields, place) for value, place in hub_values(name, config, split)]


def jsonl_values(path: str | Path, fields: Sequence[str]) -> Iterator[tuple[object, str]]:
    """The value of each line that is not blank, not yet checked, and its place. `fields` serve the error alone.

    Raises FileNotFoundError if there is no such file, and ValueError naming the file and the line if the file is
    empty, a line is too long, not UTF-8 or not JSON.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        kind = "it is a folder" if path.is_dir() else "there is no such file"
        raise FileNotFoundError(f"{path}: {kind}; a JSON Lines file with the fields {', '.join(fields)} is needed")
    is_empty = True
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE + 1), b""), start=1):
            place = f"{path}:{number}"
            if len(line) > LONGEST_LINE:
                raise ValueError(f"{place}: the line is longer than {LONGEST_LINE:,} bytes; is this JSON Lines?")
            line = line.removeprefix(BOM_UTF8) if number == 1 else line
            if line.strip():
                is_empty = False
                yield _parsed(line, place), place
    if is_empty:
        raise ValueError(f"{path}: the file is empty; one JSON object a line is needed")


def hub_values(name: str, config: str | None, split: str) -> Iterator[tuple[object, str]]:
    """The rows of a data set on the Hugging Face hub, not yet checked, and their places. Needs the `data` extra.

    Raises ModuleNotFoundError without that extra, FileNotFoundError if the data set cannot be had.
    """
    try:
        from datasets import load_dataset
        from datasets.exceptions import DatasetsError
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f'reading {name} from the hub needs: pip install "paring[data]"') from error
    try:
        rows = load_dataset(name, config, split=split)
    except (DatasetsError, OSError, ValueError) as error:
        raise FileNotFoundError(f"{name}: no such folder here, and the hub did not give it: {error}") from error
    for index, row in enumerate(rows):
        yield row, f"{name} {split}[{index}]"


def checked_row(value: object, fields: Sequence[str], place: str) -> Row:
    """The named fields of a parsed row. ValueError names the place if one is missing or is no usable string."""
    return Row(place, {field: check_text(field_of(value, field, place), f"field {field!r}", place) for field in fields})


def field_of(value: object, field: str, place: str) -> object:
    """The value of a field of a parsed row. ValueError names the place if the row is no object or has no such field."""
    if not isinstance(value, dict):
        raise ValueError(f"{place}: a JSON object is needed, not {type(value).__name__}")
    if field not in value:
        raise ValueError(f"{place}: field {field!r} is missing; there are: {', '.join(map(repr, value)) or 'none'}")
    return value[field]


def check_text(text: object, what: str, place: str) -> str:
    """The text itself. ValueError names the place and `what` it is if it is blank or no text that a tokenizer takes."""
    if not isinstance(text, str):
        raise ValueError(f"{place}: {what} is {type(text).__name__}, a string in quotes is needed")
    if not text.strip():
        raise ValueError(f"{place}: {what} is blank")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{place}: {what} holds half a surrogate pair, which no tokenizer takes") from error
    return text


def message_of(turn: object, what: str, place: str) -> Message:
    """A turn of a conversation. ValueError names the place and `what` it is if it is none."""
    if not isinstance(turn, dict) or not {"role", "content"} <= turn.keys():
        raise ValueError(f'{place}: {what} must be an object with "role" and "content"')
    if turn["role"] not in ROLES:
        raise ValueError(f"{place}: {what}: role {turn['role']!r} must be one of {', '.join(ROLES)}")
    return {"role": turn["role"], "content": check_text(turn["content"], f"{what}: content", place)}


def reject_repeats(rows: Iterable[Row], field: str) -> None:
    """Raise ValueError if two rows have the same text in a field: one could be trained on and the other tested."""
    first: dict[str, str] = {}
    for row in rows:
        earlier = first.setdefault(row[field], row.place)
        if earlier != row.place:
            raise ValueError(f"{row.place}: the same {field} as {earlier}; keep one of them")


def _parsed(line: bytes, place: str) -> object:
    try:
        return json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{place}: not UTF-8 at byte {error.start} of the line; save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{place}: not JSON: {error.msg} at column {error.colno}") from error
    except (RecursionError, ValueError) as error:
        raise ValueError(f"{place}: not JSON that can be read: nested too deeply, or a number too long") from error
