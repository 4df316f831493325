"""Data files of every format give the same rows, by suffix or by content; and rows that cannot be read are faults."""

import csv
import gzip
import json
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from paring.runtime.data_files import file_values
from paring.runtime.faults import SHOWN, Faults, RowFault
from paring.runtime.plain_values import as_plain
from paring.runtime.sources import Source

_PACKED = gzip.compress(b'{"a": 1}\n' * 99, mtime=0)
GARBLED = _PACKED[:12] + b"\xff" * 8 + _PACKED[20:]
ROWS = [{"question": f'Say "{n}", please\nand no more', "answer": n} for n in range(3)]


def as_json_lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def as_csv(path, rows, **options):
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, rows[0], **options)
        writer.writeheader()
        writer.writerows(rows)
    return path.read_bytes()


def parquet(path, rows):
    table = pytest.importorskip("pyarrow").Table.from_pylist(rows)
    pytest.importorskip("pyarrow.parquet").write_table(table, path)
    return path.read_bytes()


FORMATS = {
    "a.jsonl": lambda path: as_json_lines(ROWS),
    "a.ndjson": lambda path: as_json_lines(ROWS),
    "lines.json": lambda path: as_json_lines(ROWS),
    "array.json": lambda path: json.dumps(ROWS).encode(),
    "pretty.json": lambda path: b"\xef\xbb\xbf" + json.dumps(ROWS, indent=2).encode(),
    "array.jsonl": lambda path: json.dumps(ROWS, indent=2).encode(),
    "object.json": lambda path: json.dumps({"version": 1, "data": ROWS}, indent=1).encode(),
    "a.csv": lambda path: as_csv(path, ROWS),
    "semicolons.csv": lambda path: as_csv(path, ROWS, delimiter=";"),
    "a.tsv": lambda path: as_csv(path, ROWS, delimiter="\t"),
    "a.parquet": lambda path: parquet(path, ROWS),
    "no suffix": lambda path: parquet(path, ROWS),
    "b.jsonl.gz": lambda path: gzip.compress(as_json_lines(ROWS)),
    "hidden.jsonl": lambda path: gzip.compress(as_json_lines(ROWS)),
    "c.csv.gz": lambda path: gzip.compress(as_csv(path, ROWS)),
    "d.parquet.gz": lambda path: gzip.compress(parquet(path, ROWS)),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_rows(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(FORMATS[name](path))
    values = [value for value, _ in file_values(path, ["question"])]
    numbers = int if "csv" not in name and "tsv" not in name else str  # cells of a table of text are texts
    assert values == [{"question": row["question"], "answer": numbers(row["answer"])} for row in ROWS]


def test_an_object_that_holds_rows_alone_is_these_rows_and_a_chat_is_a_row(tmp_path):
    path = tmp_path / "a.json"
    for text, rows in (
        ('{"data": [{"q": 1}, {"q": 2}]}', [{"q": 1}, {"q": 2}]),
        ('{"messages": [{"role": "user"}]}', [{"messages": [{"role": "user"}]}]),
        ('{"version": "2", "data": [{"q": 1}, {"q": 2}]}', [{"q": 1}, {"q": 2}]),
        ('{"version": "2", "data": [1, 2]}', [{"version": "2", "data": [1, 2]}]),
        ("[]", []),
    ):
        path.write_text(text, encoding="utf-8")
        assert [value for value, _ in file_values(path, [])] == rows


def test_a_name_hides_no_content(tmp_path):
    """JSON Lines called .csv, and objects over several lines called .jsonl."""
    rows = [{"q": 1}, {"q": 2}]
    (tmp_path / "a.csv").write_bytes(as_json_lines(rows))
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row, indent=1) for row in rows), encoding="utf-8")
    for name in ("a.csv", "a.jsonl"):
        assert [value for value, _ in file_values(tmp_path / name, [])] == rows


def test_values_of_tables_are_those_of_json():
    given = {"day": date(2026, 1, 2), "at": [datetime(2026, 1, 2, 3)], "took": timedelta(seconds=90), "raw": b"x"}
    plain = {"day": "2026-01-02", "at": ["2026-01-02T03:00:00"], "took": 90.0, "raw": b"x"}
    assert as_plain(given) == plain
    numbers = [as_plain(Decimal(text)) for text in ("2.00", "0.25", "0.1234567890123456789", "NaN")]
    assert numbers == [2, 0.25, "0.1234567890123456789", "NaN"] and isinstance(numbers[0], int)


def test_places_are_lines(tmp_path):
    for name, lines in (("pretty.json", [2, 6, 10]), ("a.csv", [2, 4, 6]), ("a.jsonl", [1, 2, 3])):
        path = tmp_path / name
        path.write_bytes(FORMATS[name](path).removeprefix(b"\xef\xbb\xbf"))
        assert [place for _, place in file_values(path, [])] == [f"{path}:{line}" for line in lines]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", b"", "the file is empty"),
        ("a.csv", b"q,a\nx,1\n\xff,2\n", ":3: not UTF-8"),
        ("a.json", b'{"a": 1,\n"b": 2}', "one JSON object; a list of rows is needed"),
        ("a.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 99, mtime=0)[:-9], "the compressed file is damaged or cut off"),
        ("a.parquet", b"PAR1 and no more", "it cannot be read as a table"),
        ("a.xlsx", b"PK\x03\x04" + b"\x00" * 9, "a zip archive, as Excel's tables are"),
        ("a.jsonl.zst", b"\x28\xb5\x2f\xfd" + b"\x00" * 9, "packed by zstandard"),
        ("a.jsonl", b"\x80\x04\x95" + b"\x00" * 9, "a pickle, which is never opened"),
        ("a.csv", b"q,a, a\nx,1,2\n", "two columns are called 'a'"),
        ("a.json", b" ", "the file is empty"),
        ("a.jsonl.gz", gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0), "gzipped twice"),
        ("a.jsonl", GARBLED, "the compressed file is damaged or cut off"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error(tmp_path, name, content, expected):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=expected):
        list(file_values(tmp_path / name, []))


@pytest.mark.parametrize(
    ("name", "content", "place", "words"),
    [
        ("a.jsonl", b'{"a": 1}\n{"a": \n{"a": 3}\n', 2, "not JSON: Expecting value"),
        ("a.json", b'[{"a": 1},\n{"a" 2},\n{"a": 3}]', 2, "the rows after it cannot be read"),
        ("a.csv", b"a,b\n1,2\n1,2,3\n4,5\n", 3, "3 cells for 2 columns"),
        ("b.json", b'[{"a": 1}, {"a": 2}]\n{"a": 3}', 1, "text follows the end of the list"),
        ("a.jsonl", b'{"a": 1}\n{"a": 2, "a": 3}\n{"a": 3}\n', 2, "the key 'a' stands twice"),
        ("b.json", b'[{"a": 1},\n{"b": {"a": 2, "a": 3}},\n{"a": 3}]', 2, "the key 'a' stands twice"),
    ],
)
def test_a_broken_row_is_a_fault_and_the_others_are_read(tmp_path, name, content, place, words):
    path = tmp_path / name
    path.write_bytes(content)
    read = list(file_values(path, []))
    [fault] = [value for value, _ in read if isinstance(value, RowFault)]
    assert fault.place == f"{path}:{place}" and words in fault.words
    assert len(read) == (2 if name == "a.json" else 3)


def test_folders_and_their_splits(tmp_path):
    (tmp_path / "train.csv").write_bytes(as_csv(tmp_path / "train.csv", ROWS))
    source = Source(str(tmp_path), "task.data")
    assert len(list(source.values("train", []))) == 3 and source.has("train") and not source.has("test")
    (tmp_path / "data").mkdir()
    for piece in range(2):
        parquet(tmp_path / "data" / f"test-0000{piece}-of-00002.parquet", ROWS[piece : piece + 1])
    assert [value["answer"] for value, _ in source.values("test", [])] == [0, 1]


def test_folders_of_save_to_disk(tmp_path):
    datasets = pytest.importorskip("datasets")
    part = datasets.Dataset.from_list(ROWS)
    part.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": part, "test": part.select([1])}).save_to_disk(tmp_path / "both")
    one, both = (Source(str(tmp_path / name), "task.data") for name in ("one", "both"))
    assert [value for value, _ in one.values("train", [])] == ROWS and not one.has("test")
    assert [value for value, _ in both.values("test", [])] == ROWS[1:2]
    with pytest.raises(FileNotFoundError, match="there is no split 'dev'; there are: test, train"):
        list(both.values("dev", []))


def test_faults_are_counted_by_kind_and_the_first_of_each_named():
    faults = Faults("task.broken", "stop", [RowFault(f"a.csv:{n}", "blank", "empty") for n in range(2, 9)])
    faults.found.append(RowFault("a.csv:4", "repeated", "the same"))
    with pytest.raises(ValueError) as error:
        faults.check()
    lines = str(error.value).splitlines()
    assert lines[:2] == ["8 rows cannot be used:", "  7 blank"] and lines[2] == "    a.csv:2: empty"
    assert lines[2 + SHOWN] == "    and 2 more" and "  1 repeated" in lines
    assert lines[-1].endswith("leave them out with task.broken=skip")
    Faults("task.broken", "skip", faults.found).check()
    with pytest.raises(RowFault, match=r"^a\.csv:2: empty$"):
        Faults("task.broken", "stop", faults.found[:1]).check()


def test_repeats_are_faults_and_the_first_is_kept():
    faults = Faults("task.broken", "skip")
    rows = [("a", 1), ("b", 2), ("a", 3), ("c", 4)]
    kept = faults.without_repeats(rows, lambda row: row[0], lambda row: f"f:{row[1]}", "prompt", known=[("c", 9)])
    assert kept == [("a", 1), ("b", 2)]
    assert [(fault.place, fault.kind) for fault in faults.found] == [
        ("f:3", "repeated"),
        ("f:4", "shared by two splits"),
    ]
    assert "the same prompt as f:9, which is held out" in faults.found[1].words
