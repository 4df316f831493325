"""Reading rows: what is accepted, and that every refusal names its place."""

import json
import sys
from types import ModuleType

import pytest

from paring.runtime.json_files import LONGEST_LINE
from paring.runtime.rows import checked_row, jsonl_values
from paring.runtime.sources import Source

FIELDS = ("question", "answer")
GOOD = b'{"question": "q", "answer": "a"}\n'


def read_jsonl(path, fields):
    return [checked_row(value, fields, place) for value, place in jsonl_values(path, fields)]


def read_hub(name, config, split, fields, revision=None):
    source = Source(name, "task.data", config, revision)
    return [checked_row(value, fields, place) for value, place in source.values(split, fields)]


def write(folder, content):
    path = folder / "rows.jsonl"
    path.write_bytes(content)
    return path


def test_rows_keep_the_asked_fields_and_their_line(tmp_path):
    text = '\ufeff{"question": "à", "answer": " 1 ", "idx": 0}\n\r\n  \n{"answer": "2", "question": "\\u00e9"}'
    path = write(tmp_path, text.encode())
    rows = read_jsonl(path, FIELDS)
    assert [row.fields for row in rows] == [{"question": "à", "answer": " 1 "}, {"question": "é", "answer": "2"}]
    assert [row.place for row in rows] == [f"{path}:1", f"{path}:4"]
    assert read_jsonl(str(path), ["answer"])[1].fields == {"answer": "2"}


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (5, "5"),
        (-7, "-7"),
        (0.5, "0.5"),
        (5.0, "5"),
        (-0.0, "0"),
        (1e300, "1e+300"),
        (10**20, "1" + "0" * 20),
    ],
)
def test_a_number_is_its_text(number, text):
    assert checked_row({"answer": number}, ["answer"], "x")["answer"] == text


@pytest.mark.parametrize(
    ("second_line", "message"),
    [
        (b"{", "not JSON"),
        (b"question,answer", "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"question": ' + b"9" * 5000 + b"}", "a number too long"),
        (b"[1]", "a JSON object is needed, not list"),
        (b"null", "a JSON object is needed, not null"),
        (b"{}", "field 'question' is missing; there are: none"),
        (b'{"question": "q", "Answer": "a"}', "field 'answer' is missing; there are: 'question', 'Answer'"),
        (b'{"question": "q", "answer": true}', "field 'answer' is bool"),
        (b'{"question": "q", "answer": NaN}', "field 'answer' is nan"),
        (b"a,b", "a table belongs into a .csv file"),
        (b'{"question": null, "answer": "5"}', "field 'question' is null"),
        (b'{"question": "q", "answer": " "}', "field 'answer' is blank"),
        (b'{"question": "\\ud800", "answer": "5"}', "half a surrogate"),
        (b'{"question": "\xff", "answer": "5"}', "not UTF-8 at byte 14"),
        (b" " * (LONGEST_LINE + 1), "longer than 1,048,576 bytes"),
    ],
)
def test_a_bad_line_is_named(tmp_path, second_line, message):
    path = write(tmp_path, GOOD + second_line)
    with pytest.raises(ValueError) as error:
        read_jsonl(path, FIELDS)
    assert str(error.value).startswith(f"{path}:2: ")
    assert message in str(error.value)


def test_a_line_of_the_longest_length_is_read(tmp_path):
    filling = "x" * (LONGEST_LINE - len('{"question": "", "answer": "a"}'))
    path = write(tmp_path, f'{{"question": "{filling}", "answer": "a"}}'.encode())
    assert len(read_jsonl(path, FIELDS)[0]["question"]) == len(filling)


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_an_empty_file_is_refused(tmp_path, content):
    with pytest.raises(ValueError, match="the file is empty"):
        read_jsonl(write(tmp_path, content), FIELDS)


def test_no_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file; rows with question and answer are needed"):
        read_jsonl(tmp_path / "absent.jsonl", FIELDS)
    with pytest.raises(FileNotFoundError, match="it is a folder"):
        read_jsonl(tmp_path, FIELDS)


@pytest.fixture
def hub(monkeypatch):
    """A stand-in for the datasets package that holds one data set, so that nothing is fetched."""
    asked = []
    held = {("someone/set", "main", "train"): [json.loads(GOOD), {"question": "q", "answer": None}]}
    package, exceptions = ModuleType("datasets"), ModuleType("datasets.exceptions")

    def load_dataset(name, config, *, split, revision):
        asked.append(revision)
        if (name, config, split) not in held:
            raise ConnectionError("the hub is out of reach")
        return held[name, config, split]

    package.load_dataset = load_dataset
    exceptions.DatasetsError = type("DatasetsError", (Exception,), {})
    monkeypatch.setitem(sys.modules, "datasets", package)
    monkeypatch.setitem(sys.modules, "datasets.exceptions", exceptions)
    return asked


def test_rows_of_the_hub_are_checked_like_those_of_a_file(hub):
    assert read_hub("someone/set", "main", "train", ["question"])[1].place == "someone/set train[1]"
    with pytest.raises(ValueError, match=r"someone/set train\[1\]: field 'answer' is null"):
        read_hub("someone/set", "main", "train", FIELDS, "v1.2")
    assert hub == [None, "v1.2"]


def test_a_silent_hub_is_a_missing_file(hub):
    with pytest.raises(FileNotFoundError, match=r"someone/other: .* the hub is out of reach"):
        read_hub("someone/other", "main", "train", FIELDS)


def test_without_the_extra_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "paring\[data\]"'):
        read_hub("someone/set", "main", "train", FIELDS)
