"""A user's own questions: splits, refusals and the comparison of answers."""

import json

import pytest

from paring.tasks.questions import LONGEST_ANSWER, Questions
from paring.types import Problem

SPLITS = ("train", "validation", "test")


def write(path, numbers, answer="{}"):
    rows = [{"question": f"What is {number}?", "answer": answer.format(number)} for number in numbers]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def ids(task, split):
    return [problem.id for problem in task.problems(split)]


@pytest.mark.parametrize(("rows", "sizes"), [(3, [1, 1, 1]), (15, [13, 1, 1]), (16, [12, 2, 2]), (80, [60, 10, 10])])
def test_an_eighth_is_held_out_twice(tmp_path, rows, sizes):
    task = Questions(data=write(tmp_path / "own.jsonl", range(rows)))
    parts = [ids(task, split) for split in SPLITS]
    assert [len(part) for part in parts] == sizes
    assert len(set().union(*parts)) == rows


def test_the_split_does_not_depend_on_the_order_of_the_file(tmp_path):
    task = Questions(data=write(tmp_path / "own.jsonl", range(40)))
    before = [ids(task, split) for split in SPLITS]
    write(tmp_path / "own.jsonl", reversed(range(40)))
    assert [ids(task, split) for split in SPLITS] == before


def test_a_test_file_is_the_whole_test_set(tmp_path):
    train, test = write(tmp_path / "a.jsonl", range(16)), write(tmp_path / "b.jsonl", range(50, 53))
    task = Questions(data=train, test=test)
    assert [len(ids(task, split)) for split in SPLITS] == [14, 2, 3]
    assert [problem.gold for problem in task.problems("test")] == ["50", "51", "52"]


def test_fields_and_instruction(tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text("".join(f'{{"q": "{number}?", "a": " {number} "}}\n' for number in range(3)))
    task = Questions(data=str(path), question_field="q", answer_field="a", instruction="Be brief.")
    contents = {(p.messages[0]["content"], p.gold) for split in SPLITS for p in task.problems(split)}
    assert contents == {(f"{number}?\nBe brief.", str(number)) for number in range(3)}


def test_refusals_name_the_place(tmp_path):
    train = write(tmp_path / "a.jsonl", range(8))
    with pytest.raises(ValueError, match=r"a\.jsonl:8: the same question as .*b\.jsonl:2, which is held"):
        Questions(data=train, test=write(tmp_path / "b.jsonl", [8, 7])).problems("train")
    with pytest.raises(FileNotFoundError, match=r"absent\.jsonl"):
        Questions(data=train, test=str(tmp_path / "absent.jsonl")).problems("train")
    with pytest.raises(ValueError, match="2 rows, at least 3 with different prompts are needed"):
        Questions(data=write(tmp_path / "c.jsonl", range(2))).problems("train")
    with pytest.raises(ValueError, match=r"d\.jsonl:\d: the answer has 401 characters, at most 400"):
        Questions(data=write(tmp_path / "d.jsonl", range(3), "{}" + "x" * 400)).problems("train")
    with pytest.raises(ValueError, match="field 'solution' is missing"):
        Questions(data=train, answer_field="solution").problems("train")


@pytest.mark.parametrize(
    ("gold", "text", "correct"),
    [
        ("1000", "1,000", True),
        ("1000", "I think so.\n $1000.00 \n\n", True),
        ("1000", "<answer>1,000</answer> or 7", True),
        ("1000", "<answer>7</answer>\n1000", False),
        ("1000", "It is 1000", False),
        ("1000", "1000\nI am sure.", False),
        ("52", "5²", False),
        ("Paris", "<answer> paris </answer>", True),
        ("New  York", "the city:\nnew\tyork", True),
        ("Straße", "STRASSE", True),
        ("ＡＢ", "ab", True),
        ("Paris", "Paris.", False),
        ("Paris", "", False),
        ("x", "\ud800", False),
        ("x", "x" * 1_000_000, False),
        ("x", "\u0300\u0327" * 1_000_000, False),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_score(gold, text, correct):
    score = Questions(data="unread.jsonl").score(Problem("questions/0", (), gold), text)
    assert (score.parts, score.correct, score.traits) == ({"correct": float(correct)}, correct, {})


def test_the_longest_answer_is_compared():
    gold = "x" * LONGEST_ANSWER
    assert Questions(data="unread.jsonl").score(Problem("questions/0", (), gold), gold).correct


def test_golds_are_numbers_texts_or_what_follows_the_mark(tmp_path):
    path = tmp_path / "own.jsonl"
    golds = {"a": 5, "b": 0.5, "c": 7.0, "d": "So 2 + 3 = 5.\n#### 5", "e": " Paris ", "f": "#### 1,000"}
    path.write_text("".join(json.dumps({"question": q, "answer": gold}) + "\n" for q, gold in golds.items()))
    task = Questions(data=str(path))
    found = {p.messages[0]["content"]: p.gold for split in SPLITS for p in task.problems(split)}
    assert found == {"a": "5", "b": "0.5", "c": "7", "d": "5", "e": "Paris", "f": "1,000"}
    assert task.score(Problem("x", (), "5"), "2 + 3 = 5\n#### 5").correct


def test_rows_that_cannot_be_used_are_all_named_or_left_out(tmp_path):
    path = tmp_path / "own.jsonl"
    good = [json.dumps({"question": f"{n}?", "answer": n}) for n in range(8)]
    bad = ["{", good[3], '{"question": " ", "answer": 1}', '{"question": "q", "answer": "####"}']
    path.write_text("\n".join(good + bad))
    with pytest.raises(ValueError) as error:
        Questions(data=str(path)).problems("test")
    for kind in ("1 not JSON", "1 repeated", "1 blank", "1 without a gold that can be judged"):
        assert kind in str(error.value)
    task = Questions(data=str(path), broken="skip", system="Be brief.")
    assert sum(len(task.problems(split)) for split in SPLITS) == 8
    assert [fault.place for fault in task.skipped()] == [f"{path}:{n}" for n in (9, 11, 12, 10)]
    assert task.problems("test")[0].messages[0] == {"role": "system", "content": "Be brief."}
