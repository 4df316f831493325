"""The rows of a data file, by its suffix and its content: JSON Lines, JSON, CSV, Parquet, Arrow; each also gzipped."""

import csv
import gzip
import io
import json
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TypeAlias

from paring.runtime.faults import RowFault
from paring.settings.complaints import DataError

Values: TypeAlias = Iterator[tuple[object, str]]
"""Values of rows, not yet checked, with their places. A row that cannot be read is a RowFault in the value's place."""
LONGEST_LINE = 2**20
"""Bytes. A longer line is an error, so that a file which is no JSON Lines cannot fill the memory."""
SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow")
GZIP, PARQUET, ARROW = b"\x1f\x8b", b"PAR1", b"ARROW1"
OTHERS = {
    b"PK\x03\x04": "a zip archive, as Excel's tables are; unpack it, or save the table as .csv",
    b"\x28\xb5\x2f\xfd": "packed by zstandard; unpack it, or pack it by gzip",
    b"\xfd7zXZ": "packed by xz; unpack it, or pack it by gzip",
    b"BZh": "packed by bzip2; unpack it, or pack it by gzip",
    b"7z\xbc\xaf": "a 7z archive; unpack it",
    b"\xd0\xcf\x11\xe0": "an old file of Excel; save the table as .csv",
    b"SQLite format 3": "a database of SQLite; write its table as .csv",
    b"\x89HDF": "HDF5; write its rows as .jsonl or .parquet",
    b"ORC": "ORC; write its rows as .parquet",
    b"\x80": "a pickle, which is never opened; write its rows as .jsonl",
}
"""What other files begin with, and what to do about them."""
ROWS = ("data", "rows", "examples", "instances", "items", "train")
"""The only key of an object that holds nothing but rows."""
EXTRA = 'pip install "paring[data]"'


def is_data_name(path: Path) -> bool:
    """Whether a name has the suffix of a data file, which may be gzipped."""
    return (Path(path.stem) if path.suffix == ".gz" else path).suffix in SUFFIXES


def check_is_file(path: Path, fields: Sequence[str]) -> None:
    """Raises FileNotFoundError, which says what is needed."""
    if not path.is_file():
        kind = "it is a folder" if path.is_dir() else "there is no such file"
        raise FileNotFoundError(
            f"{path}: {kind}; rows with {' and '.join(fields)} are needed, as {', '.join(SUFFIXES)}"
        )


def file_values(path: Path, fields: Sequence[str]) -> Values:
    """The rows of a file. `fields` serve the error alone.

    Raises FileNotFoundError if there is no such file, ValueError if it is empty or cannot be read at all, and
    ModuleNotFoundError where a format needs the extra `data`."""
    check_is_file(path, fields)
    with path.open("rb") as file:
        packed = file.read(2) == GZIP
    opened: IO[bytes] = gzip.open(path) if packed else path.open("rb")  # pyright: ignore[reportAssignmentType]  typeshed gives GzipFile no mode
    with opened as file:
        try:
            yield from _values(file, path)
        except (gzip.BadGzipFile, EOFError) as error:
            raise DataError(f"{path}: the compressed file is damaged or cut off ({error})") from error


def _values(file: IO[bytes], path: Path) -> Values:
    suffix = (Path(path.stem) if path.suffix == ".gz" else path).suffix
    head = file.read(4096)
    file.seek(0)
    if head.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        raise DataError(f"{path}: UTF-16, as Excel and PowerShell write; save the file as UTF-8")
    if other := next((words for magic, words in OTHERS.items() if head.startswith(magic)), None):
        raise DataError(f"{path}: {other}")
    begin = head.removeprefix(BOM_UTF8).lstrip()
    if head.startswith(PARQUET) or head.startswith(ARROW) or suffix in (".parquet", ".arrow"):
        return _table_values(file, path, parquet=head.startswith(PARQUET) or suffix == ".parquet")
    if suffix in (".csv", ".tsv"):
        return _csv_values(file, path)
    holds_rows = begin[:1] == b"[" and begin[1:].lstrip()[:1] == b"{"
    if holds_rows or (suffix == ".json" and not _begins_with_a_row(file)):
        return _array_values(file, path)
    if suffix in SUFFIXES or begin[:1] in (b"{", b"[", b""):
        return line_values(file, path)
    return _csv_values(file, path)


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


def _begins_with_a_row(file: IO[bytes]) -> bool:
    """Whether the first line of a file is a JSON value by itself, and no object that holds rows alone."""
    line = file.readline(LONGEST_LINE).removeprefix(BOM_UTF8)
    file.seek(0)
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    only = list(value.items()) if isinstance(value, dict) else []
    return not (len(only) == 1 and only[0][0] in ROWS and isinstance(only[0][1], list))


def _parsed(line: bytes, place: str) -> object:
    try:
        return json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return RowFault(place, "not UTF-8", f"not UTF-8 at byte {error.start} of the line; save the file as UTF-8")
    except json.JSONDecodeError as error:
        hint = "" if line.lstrip()[:1] in (b"{", b"[") else "; a table belongs into a .csv file"
        return RowFault(place, "not JSON", f"not JSON: {error.msg} at column {error.colno}{hint}")
    except (RecursionError, ValueError):
        words = "not JSON that can be read: nested too deeply, or a number too long"
        return RowFault(place, "not JSON", words)


def _array_values(file: IO[bytes], path: Path) -> Values:
    """A JSON array of rows, or an object whose only list is one."""
    text = _decoded(file, path)
    start = len(text) - len(text.lstrip())
    if text[start : start + 1] == "{":
        yield from _rows_of_object(text, path)
        return
    decoder, at, line, counted = json.JSONDecoder(), start + 1, 1, 0
    while True:
        while text[at : at + 1].isspace() or text[at : at + 1] == ",":
            at += 1
        if text[at : at + 1] == "]":
            break
        line, counted = line + text.count("\n", counted, at), at
        place = f"{path}:{line}"
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            # What follows a broken row of an array cannot be told apart.
            words = f"not JSON: {error}; the rows after it cannot be read"
            yield RowFault(place, "not JSON", words), place
            return
        yield value, place


def _rows_of_object(text: str, path: Path) -> Values:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON: {error}") from error
    lists = [rows for rows in value.values() if isinstance(rows, list)]
    if len(lists) != 1:
        raise DataError(f"{path}: one JSON object; a list of rows is needed, or one object a line")
    yield from ((row, f"{path}[{number}]") for number, row in enumerate(lists[0]))


def _csv_values(file: IO[bytes], path: Path) -> Values:
    """A table with a header. Cells are texts as they stand; a blank one is a blank text."""
    text = io.StringIO(_decoded(file, path), newline="")
    header = text.readline()
    text.seek(0)
    delimiter = max(",;\t", key=header.count)
    longest = csv.field_size_limit(2**27)
    try:
        rows = csv.reader(text, delimiter=delimiter, strict=True)
        names = next(rows, [])
        if not any(name.strip() for name in names):
            raise DataError(f"{path}: the file is empty; a first line with the names of the columns is needed")
        while True:
            place = f"{path}:{rows.line_num + 1}"
            try:
                cells = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                yield RowFault(place, "not CSV", f"not CSV: {error}"), place
                continue
            if len(cells) > len(names):
                words = f"{len(cells)} cells for {len(names)} columns; put texts with a {delimiter!r} into quotes"
                yield RowFault(place, "not CSV", words), place
            elif cells:
                yield dict(zip(names, cells, strict=False)), place
    finally:
        csv.field_size_limit(longest)


def _table_values(file: IO[bytes], path: Path, *, parquet: bool) -> Values:
    try:
        from pyarrow import ArrowException, ipc
        from pyarrow import parquet as parquet_files
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"reading {path} needs: {EXTRA}") from error
    source = io.BytesIO(file.read()) if isinstance(file, gzip.GzipFile) else file
    try:
        if parquet:
            batches = parquet_files.ParquetFile(source).iter_batches()
        elif source.read(len(ARROW)) == ARROW:
            reader = ipc.open_file(source)
            batches = (reader.get_batch(index) for index in range(reader.num_record_batches))
        else:
            source.seek(0)
            batches = iter(ipc.open_stream(source))
        number = 0
        for batch in batches:
            for value in batch.to_pylist():
                number += 1
                yield value, f"{path}:{number}"
    except (ArrowException, OSError) as error:
        raise DataError(f"{path}: it cannot be read as a table: {error}") from error


def _decoded(file: IO[bytes], path: Path) -> str:
    data = file.read().removeprefix(BOM_UTF8)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line}: not UTF-8; save the file as UTF-8") from error
