"""One's own file as a benchmark: all rows are put, unless a run that is measured has trained on them."""

import json

import pytest

from paring.evaluation.request import request_of
from paring.subjects.choosing import exams_of, style_for
from paring.training.config import load_run
from paring.verifier import Verifier


@pytest.fixture
def mine(tmp_path):
    file = tmp_path / "mine.jsonl"
    rows = [{"question": f"What is {n} / 2?", "answer": [f"{n}/2", str(n / 2)]} for n in range(3, 43)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def put(file, run=None, name="maths", **changes):
    settings = {"data": str(file)} if file else {}
    request = request_of(subject="embedded", tasks=(name,), task_settings=settings, **changes)
    (exam,) = exams_of(request, run, style_for(request, run)[0], Verifier())
    return [problem.messages[-1]["content"] for problem in exam.problems]


def test_all_rows_of_a_file_are_put_in_their_order(mine):
    assert put(mine) == [f"What is {n} / 2?" for n in range(3, 43)]
    assert len(put(mine, limit=7)) == 7


def test_a_run_is_not_measured_on_what_it_trained_on(mine, tmp_path):
    run = load_run("quickstart", task={"name": "maths", "data": str(mine)})
    assert len(put(None, run)) == 5 == len(put(mine, run))
    other = tmp_path / "other.jsonl"
    other.write_text(mine.read_text())
    assert len(put(other, run)) == 40


def test_nor_what_it_is_compared_with(mine, tmp_path):
    from paring.training.config import to_toml

    (tmp_path / "run").mkdir()
    run = load_run("quickstart", task={"name": "maths", "data": str(mine)})
    (tmp_path / "run" / "run.toml").write_text(to_toml(run))
    assert len(put(mine, compare=str(tmp_path / "run"))) == 5


def test_a_folder_keeps_its_own_split(mine, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "train.jsonl").write_text(mine.read_text())
    assert len(put(folder)) == 40
    (folder / "test.jsonl").write_text('{"question": "1 + 1?", "answer": 2}\n')
    assert put(folder) == ["1 + 1?"]


def test_questions_and_gsm8k_as_well(tmp_path):
    file = tmp_path / "own.jsonl"
    file.write_text("".join(f'{{"question": "What is {n}?", "answer": "#### {n}"}}\n' for n in range(9)))
    assert len(put(file, name="questions")) == len(put(file, name="gsm8k")) == 9


def test_a_style_is_heeded_or_refused(mine):
    request = request_of(subject="embedded", tasks=("maths",), task_settings={"data": str(mine)}, style="think-answer")
    (exam,) = exams_of(request, None, style_for(request, None)[0], Verifier())
    assert exam.style == "think-answer"
    with pytest.raises(ValueError, match="style = 'boxed' changes nothing for arithmetic, whose prompts are their own"):
        put(None, name="arithmetic", style="boxed")
    with pytest.raises(ValueError, match="shots = 3 is for benchmarks: maths shows no examples"):
        put(mine, shots=3)


def test_an_address_that_is_none_is_one_line(refused):
    said = refused("eval", "embedded", "--task", "arithmetic", "--server", "nonsense")
    assert said.startswith("error: server: 'nonsense' is no address; write one like http://")
