"""Rows of the contests and of GPQA, as the hub's copies and other files hold them; the order of choices."""

from collections import Counter
from itertools import permutations

import pytest

from paring.evaluation.benchmarks.benchmark import Record
from paring.evaluation.benchmarks.benchmark_task import BenchmarkTask
from paring.evaluation.benchmarks.catalogue import benchmark_named
from paring.evaluation.benchmarks.gpqa import RIGHT, WRONG, read


@pytest.mark.parametrize(
    ("name", "row", "gold"),
    [
        ("aime24", {"id": 60, "problem": "Q", "solution": "S", "answer": "025", "url": "u"}, "25"),
        ("AIME-25", {"problem_idx": 1, "problem": "Q", "answer": 70}, "70"),
        ("aime26", {"problem_idx": 1, "problem": "Q", "answer": 70, "problem_type": None}, "70"),
        ("hmmt25", {"problem": "Q", "answer": r"\frac{1}{576}", "problem_type": ["Algebra"]}, r"\frac{1}{576}"),
        ("hmmt26", {"problem": "Q", "answer": r"-984", "problem_type": ["Algebra", "Geometry"]}, "-984"),
        ("amc", {"id": 0, "problem": "Q", "answer": 142.0, "url": "u"}, "142"),
        ("minerva", {"question": "Q", "answer": r"4.5e33"}, "4.5e33"),
        ("minerva", {"problem": "Q", "solution": r"So $\boxed{7.25}$ cm.", "type": "Astronomy"}, "7.25"),
    ],
)
def test_rows_as_copies_hold_them(name, row, gold, write):
    benchmark = benchmark_named(name)
    task = BenchmarkTask(benchmark, data=write(benchmark.name, [row]))
    (problem,) = task.problems("test")
    assert problem.messages[-1]["content"] == "Q" and problem.gold == gold
    assert task.score(problem, rf"so \boxed{{{gold}}}").correct and not task.score(problem, r"so \boxed{0}").correct


def test_what_is_no_integer_is_named(write):
    folder = write("aime24", [{"problem": "Q", "answer": "4.5"}])
    with pytest.raises(ValueError, match=r"test\.jsonl:1: answer '4\.5' must be a whole number"):
        BenchmarkTask(benchmark_named("aime24"), data=folder).problems("test")


def question(number, wrong=("b", "c", "d")):
    return {"Question": f"Which? {number}", RIGHT: "a", **dict(zip(WRONG, wrong, strict=True))}


def test_the_order_of_choices_is_that_of_question_and_choices_alone():
    """Over 400 questions each letter is right about 100 times (four standard deviations: 35), and the order of the
    wrong ones in the data does not show."""
    read_all = [read(Record(question(number), "here")) for number in range(400)]
    letters = Counter(one.golds for one in read_all)
    assert set(letters) == {("A",), ("B",), ("C",), ("D",)} and all(65 < n < 135 for n in letters.values())
    for wrong in permutations("bcd"):
        assert read(Record(question(7, wrong), "here")) == read_all[7]
    assert f"({read_all[7].golds[0]}) a" in read_all[7].text


def test_a_choice_that_stands_twice_is_right_under_both_letters():
    assert len(read(Record(question(1, ("a", "c", "d")), "here")).golds) == 2
