"""The harder embedded task: its problems, their splits, and their solutions."""

import re
from itertools import accumulate

import pytest

from paring.tasks.arithmetic import Arithmetic, worked
from paring.tasks.chains import Chains
from paring.tasks.splits import split_of

TASK = Chains()


def terms_of(problem):
    first, *later = re.fullmatch(r"(\d+)([+-]\d+)([+-]\d+)([+-]\d+)=", problem.messages[0]["content"]).groups()
    return [int(first), *map(int, later)]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_problems_are_within_the_bounds_and_their_gold_is_the_sum(split):
    for problem in TASK.problems(split)[:500]:
        terms = terms_of(problem)
        assert 1 <= terms[0] <= 99 and all(1 <= abs(term) <= 19 for term in terms[1:])
        assert all(0 <= result <= 99 for result in accumulate(terms))
        assert problem.gold == str(sum(terms))
        assert split_of(problem.messages[0]["content"].removesuffix("=")) == split


def test_the_splits_are_pinned():
    """A change of the draws would let the base's problems slip into the held-out ones, unnoticed."""
    assert [len(TASK.problems(split)) for split in ("train", "validation", "test")] == [10_000, 500, 500]
    assert TASK.problems("train")[0].id == "chains/15+8-17+9"
    assert TASK.problems("train")[-1].id == "chains/57+4-14+13"


def test_both_signs_and_the_ends_of_the_ranges_are_drawn():
    drawn = [terms_of(problem) for problem in TASK.problems("train")]
    assert {terms[0] for terms in drawn} == set(range(1, 100))
    assert {term for terms in drawn for term in terms[1:]} == set(range(-19, 20)) - {0}


def test_a_solution_is_worked_and_earns_everything():
    assert worked([17, 11, -4]) == "17+11=28;28-4=24<answer>24</answer>"
    for problem in TASK.problems("train")[:300]:
        score = TASK.score(problem, problem.solution)
        assert score.parts == {"correct": 1.0, "format": 0.1}
        assert score.traits == {"working": True, "self_correction": False}


def test_answers_are_judged_as_in_arithmetic():
    problem = TASK.problems("test")[0]
    for text in ("", f"<answer>{problem.gold}</answer>", "<answer>100</answer>", problem.solution + "."):
        assert TASK.score(problem, text) == Arithmetic().score(problem, text)
