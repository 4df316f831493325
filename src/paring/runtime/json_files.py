"""JSON Lines, arrays, and objects over several lines: the value of each row, with its place."""

import json
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TypeAlias

from paring.runtime.faults import RowFault
from paring.settings.complaints import DataError

Values: TypeAlias = Iterator[tuple[object, str]]
"""Values of rows, not yet checked, with their places. A row that cannot be read is a RowFault in the value's place."""
LONGEST_LINE = 2**20
"""Bytes. A longer line is an error, so that a file which is no JSON Lines cannot fill the memory."""
ROWS = ("data", "rows", "examples", "instances", "items", "train")
"""The key of an object that holds rows."""


class _KeyTwice(ValueError):
    """An object has a key twice: which of the values is meant, nothing tells."""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Raises _KeyTwice."""
    held = dict(pairs)
    if len(held) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _KeyTwice(f"the key {twice!r} stands twice in an object; keep one of them")
    return held


_decoder = json.JSONDecoder(object_pairs_hook=_object)


def line_values(file: IO[bytes], path: Path) -> Values:
    """JSON Lines: the value of each line that is not blank. Raises ValueError where there is none."""
    is_empty = True
    for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE + 1), b""), start=1):
        place = f"{path}:{number}"
        if len(line) > LONGEST_LINE:
            raise DataError(f"{place}: the line is longer than {LONGEST_LINE:,} bytes; is this JSON Lines?")
        line = line.removeprefix(BOM_UTF8) if number == 1 else line
        if line.strip():
            is_empty = False
            yield _parsed(line, place), place
    if is_empty:
        raise DataError(f"{path}: the file is empty; one JSON object a line is needed")


def begins_with_a_row(file: IO[bytes]) -> bool:
    """Whether the first line of a file is a JSON value by itself, and no object that holds rows alone."""
    line = file.readline(LONGEST_LINE).removeprefix(BOM_UTF8)
    file.seek(0)
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return not (isinstance(value, dict) and _rows_within(value) is not None)


def _rows_within(value: dict[str, object]) -> list[object] | None:
    """The rows of an object that holds them under one of the usual keys, and no other list."""
    lists = {key: held for key, held in value.items() if isinstance(held, list)}
    if len(lists) != 1 or (key := next(iter(lists))) not in ROWS:
        return None
    return lists[key] if len(value) == 1 or all(isinstance(row, dict) for row in lists[key]) else None


def is_spread(begin: bytes) -> bool:
    """Whether a file begins with an object over several lines, as pretty printers write them."""
    return begin.partition(b"\n")[0].strip() == b"{"


def _parsed(line: bytes, place: str) -> object:
    try:
        return _decoder.decode(line.decode("utf-8"))
    except _KeyTwice as error:
        return RowFault(place, "with a key twice", str(error))
    except UnicodeDecodeError as error:
        return RowFault(place, "not UTF-8", f"not UTF-8 at byte {error.start} of the line; save the file as UTF-8")
    except json.JSONDecodeError as error:
        hint = "" if line.lstrip()[:1] in (b"{", b"[") else "; a table belongs into a .csv file"
        return RowFault(place, "not JSON", f"not JSON: {error.msg} at column {error.colno}{hint}")
    except (RecursionError, ValueError):
        words = "not JSON that can be read: nested too deeply, or a number too long"
        return RowFault(place, "not JSON", words)


def array_values(file: IO[bytes], path: Path) -> Values:
    """The rows of a JSON array, of objects one after the other, or of an object whose only list holds them."""
    text = decoded(file, path)
    start = len(text) - len(text.lstrip())
    if start == len(text):
        raise DataError(f"{path}: the file is empty; a list of rows is needed, or one JSON object a line")
    if text[start] == "[":
        yield from _values_of(text, start + 1, path, closing="]")
        return
    found = list(_values_of(text, start, path, closing=""))
    value = found[0][0]
    if len(found) > 1 or not isinstance(value, dict):
        yield from found
        return
    lists = [rows for rows in value.values() if isinstance(rows, list)]
    if len(lists) != 1:
        raise DataError(f"{path}: one JSON object; a list of rows is needed, or one object a line")
    yield from ((row, f"{path}[{number}]") for number, row in enumerate(lists[0]))


def _values_of(text: str, at: int, path: Path, *, closing: str) -> Values:
    """The values one after the other, up to what closes them. What follows a broken one cannot be told apart."""
    line, counted = 1, 0
    while True:
        while text[at : at + 1].isspace() or text[at : at + 1] == ",":
            at += 1
        line, counted = line + text.count("\n", counted, at), at
        place = f"{path}:{line}"
        if text[at : at + 1] == closing:
            break
        try:
            value, at = _decoder.raw_decode(text, at)
        except _KeyTwice as error:
            value, (_, at) = RowFault(place, "with a key twice", str(error)), json.JSONDecoder().raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            words = f"not JSON: {error}; the rows after it cannot be read"
            yield RowFault(place, "not JSON", words), place
            return
        yield value, place
    if text[at + 1 :].strip():
        yield RowFault(place, "not JSON", "not JSON: text follows the end of the list"), place


def decoded(file: IO[bytes], path: Path) -> str:
    data = file.read().removeprefix(BOM_UTF8)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line}: not UTF-8; save the file as UTF-8") from error
