"""The rows of a data file, by its suffix and its content: JSON Lines, JSON, CSV, Parquet, Arrow; each also gzipped."""

import csv
import gzip
import io
import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from paring.runtime.faults import RowFault
from paring.runtime.json_files import Values, array_values, begins_with_a_row, decoded, is_spread, line_values
from paring.runtime.plain_values import as_plain
from paring.settings.complaints import DataError

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


def check_columns(names: Sequence[str], path: Path) -> None:
    """Raises ValueError where two columns have one name: which of them is meant, nothing tells."""
    if twice := next((name for name in names if name and names.count(name) > 1), None):
        raise DataError(f"{path}: two columns are called {twice!r}; rename one of them")


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
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
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
    if head.startswith(GZIP):
        raise DataError(f"{path}: gzipped twice; unpack it once")
    if suffix in (".csv", ".tsv") and not (begin[:1] == b"{" and begins_with_a_row(file)):
        return _csv_values(file, path)
    holds_rows = begin[:1] == b"[" and begin[1:].lstrip()[:1] in (b"{", b"]")
    if holds_rows or is_spread(begin) or (suffix == ".json" and not begins_with_a_row(file)):
        return array_values(file, path)
    if suffix in SUFFIXES or begin[:1] in (b"{", b"[", b""):
        return line_values(file, path)
    return _csv_values(file, path)


def _csv_values(file: IO[bytes], path: Path) -> Values:
    """A table with a header. Cells are texts as they stand; a blank one is a blank text."""
    text = io.StringIO(decoded(file, path), newline="")
    header = text.readline()
    text.seek(0)
    delimiter = max(",;\t", key=header.count)
    longest = csv.field_size_limit(2**27)
    try:
        rows = csv.reader(text, delimiter=delimiter, strict=True)
        names = next(rows, [])
        names = [name.strip() for name in names]
        if not any(names):
            raise DataError(f"{path}: the file is empty; a first line with the names of the columns is needed")
        check_columns(names, path)
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
            whole = parquet_files.ParquetFile(source)
            check_columns(whole.schema_arrow.names, path)
            batches = whole.iter_batches()
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
                yield as_plain(value), f"{path}:{number}"
    except (ArrowException, OSError) as error:
        raise DataError(f"{path}: it cannot be read as a table: {error}") from error
