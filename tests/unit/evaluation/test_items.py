"""The record of answers: whole chunks, cut after a kill, any text."""

import pytest

from paring.evaluation.items import Item, ItemFile, items_of
from paring.types import Completion, Group, Problem, Score

ASKED = ({"role": "system", "content": "s"}, {"role": "user", "content": "3 + 4?"})
GROUP = Group(Problem("p/1", ASKED, "7"), (1, 2), (Completion((3, 4), (0.0, 0.0), "\x1b[2J \ud800 7", False),))


@pytest.fixture
def record(tmp_path):
    return ItemFile(tmp_path / "items.jsonl", chunk=2)


def one(number):
    return Item(f"p/{number}", "?", "7", items_of([GROUP], [[Score({}, True)]])[0].answers)


def test_what_is_written_of_a_problem():
    scores = [Score({"a": 1.0, "b": 0.1}, True, {"working": True}, why="right", answer="7")]
    (item,) = items_of([GROUP], [scores])
    assert item.as_plain() == {
        "problem": "p/1",
        "correct": True,
        "question": "3 + 4?",
        "gold": "7",
        "row": None,
        "labels": {},
        "flaw": None,
        "answers": (
            {
                "correct": True,
                "why": "right",
                "answer": "7",
                "reward": 1.1,
                "traits": {"working": True},
                "tokens": 2,
                "ended": False,
                "text": "\x1b[2J \ud800 7",
            },
        ),
    }


def test_correct_stands_at_the_top_of_a_line(make_item):
    """By it two runs are compared, problem by problem: a truth value for one answer, else their share."""
    answers = ("r", "w", "rw", "rrrw")
    assert [make_item("p", letters).as_plain()["correct"] for letters in answers] == [True, False, 0.5, 0.75]


@pytest.mark.parametrize(("correct", "why"), [(True, "right"), (False, "wrong")])
def test_a_task_that_gives_no_reason(correct, why):
    assert items_of([GROUP], [[Score({}, correct)]])[0].answers[0].why == why


def test_hostile_text_comes_back_as_it_was_and_is_ascii_on_disk(record):
    written = items_of([GROUP], [[Score({}, False)]])
    record.append([*written, *written])
    assert record.read(2) == [*written, *written]
    assert record.path.read_bytes().isascii() and b"\x1b" not in record.path.read_bytes()


def test_labels_and_flaws_come_back(record, make_item):
    items = [make_item("p/1", "rw", subject="Algebra"), Item("p/2", "?", "1", one(2).answers, 3, {}, "broken")]
    record.append(items)
    assert record.read(2) == items


def test_nothing_yet(record):
    assert record.read(4) == [] and not record.path.exists()


@pytest.mark.parametrize(("torn", "kept"), [(0, 4), (1, 2), (30, 2)])
def test_a_torn_chunk_is_cut_off(record, torn, kept):
    record.append([one(0), one(1)])
    whole = record.path.read_bytes()
    record.append([one(2), one(3)])
    record.path.write_bytes(record.path.read_bytes()[: len(record.path.read_bytes()) - torn])
    assert [item.problem for item in record.read(6)] == [f"p/{n}" for n in range(kept)]
    assert record.path.read_bytes().startswith(whole) and record.path.read_bytes().count(b"\n") == kept


def test_the_last_chunk_may_be_short(record):
    record.append([one(0), one(1)])
    record.append([one(2)])
    assert len(record.read(3)) == 3
    assert len(record.read(4)) == 2


def test_chunks_are_cut_at_the_same_places(record):
    assert [list(places) for places in record.chunks(0, 5)] == [[0, 1], [2, 3], [4]]
    assert [list(places) for places in record.chunks(4, 5)] == [[4]]
    assert list(record.chunks(5, 5)) == []


@pytest.mark.parametrize("line", ["{", "[]", '{"answers": 3}', "1", "[" * 100_000])
def test_a_damaged_line_is_named(record, line):
    record.append([one(0)])
    record.path.write_text(record.path.read_text() + line + "\n")
    with pytest.raises(ValueError, match=r"items\.jsonl:2: damaged; remove the file to answer its problems again"):
        record.read(2)
