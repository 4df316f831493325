"""The task `maths`: rows of one's own, several golds, and what is left out."""

import json

import pytest

from paring.tasks.maths import Maths
from paring.training.config import task_named
from paring.types import Problem

ROWS = [
    {"question": f"What is {number}?", "answer": answer}
    for number, answer in enumerate(["0", 1, ["2", "two"], r"So \boxed{3}.", "2 + 2 = 4\n#### 4", 5.0, *"6789"])
]


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def problem_of(task, number):
    problems = [problem for split in ("train", "validation", "test") for problem in task.problems(split)]
    return next(one for one in problems if one.messages[-1]["content"] == f"What is {number}?")


def test_rows_are_split_and_golds_are_read_from_texts_numbers_lists_and_solutions(data):
    task = Maths(data=str(data))
    golds = [json.loads(problem_of(task, number).gold) for number in range(6)]
    assert golds == [["0"], ["1"], ["2", "two"], ["3"], ["4"], ["5.0"]]
    assert sum(len(task.problems(split)) for split in ("train", "validation", "test")) == 10


def test_any_gold_is_right_by_the_rules_of_the_verifier(data):
    task = Maths(data=str(data))
    pair, five = problem_of(task, 2), problem_of(task, 5)
    texts = [(pair, r"\boxed{2.0}"), (pair, r"\boxed{Two}"), (five, r"3+2=5, so \boxed{5 \text{ cm}}"), (five, "5")]
    scores = task.score_all(texts)
    assert [score.correct for score in scores] == [True, True, True, False]
    assert [score.why for score in scores] == ["right", "right", "right", "no answer"]
    assert scores[2].traits == {"working": True, "self_correction": False}
    assert [task.score(*one) for one in texts] == scores


def test_a_gold_that_cannot_be_judged_is_left_out_and_named(data):
    with data.open("a") as file:
        file.write(json.dumps({"question": "Long?", "answer": "1" * 3000}) + "\n")
    with pytest.raises(ValueError, match=r"mine\.jsonl:11: the gold '1111"):
        Maths(data=str(data)).problems("train")
    task = Maths(data=str(data), broken="skip")
    assert all(problem.messages[-1]["content"] != "Long?" for problem in task.problems("train"))
    [fault] = task.skipped()
    assert fault.place.endswith("mine.jsonl:11") and fault.kind == "without a gold that can be judged"


@pytest.mark.parametrize("answer", ["null", "true", "NaN", "Infinity", '{"value": 5}', '[null, "5"]', "[[5]]", '" "'])
def test_a_gold_that_is_neither_text_nor_number_is_none(data, answer):
    with data.open("a") as file:
        file.write(f'{{"question": "Odd?", "answer": {answer}}}\n')
    with pytest.raises(ValueError, match=r"mine\.jsonl:11: field 'answer' is "):
        Maths(data=str(data)).problems("train")


def test_what_is_missing_or_stands_twice_is_named(data, tmp_path):
    with pytest.raises(ValueError, match=r"mine\.jsonl:1: field 'gold' is missing"):
        Maths(data=str(data), answer_field="gold").problems("train")
    data.write_text(json.dumps(ROWS[0]) + "\n" + json.dumps(ROWS[0]) + "\n")
    with pytest.raises(ValueError, match=r"mine\.jsonl:2: the same question as .*mine\.jsonl:1"):
        Maths(data=str(data)).problems("train")
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        Maths(data=str(tmp_path / "none.jsonl")).problems("test")


def test_recipes_know_it_by_name(data):
    assert task_named("maths", {"data": str(data)}) == Maths(data=str(data))
    with pytest.raises(ValueError, match="empty"):
        Maths(data=str(data)).score(Problem("x", (), "[]"), "")
