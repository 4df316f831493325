"""The problems of a step: whole epochs, each in an order of its own, a function of seed and step alone."""

import pytest

from paring.training.draws import items_of_step
from paring.types import Problem

PROBLEMS = [Problem(id=str(n), messages=(), gold="") for n in range(7)]


def ids(step, *, count=3, seed=0, problems=PROBLEMS):
    return [problem.id for problem in items_of_step(problems, count, seed=seed, step=step)]


@pytest.mark.parametrize("count", [1, 3, 7, 10])
def test_each_epoch_goes_once_through_all(count):
    drawn = [problem for step in range(1, 22) for problem in ids(step, count=count)]
    epochs = [drawn[start : start + 7] for start in range(0, len(drawn), 7)]
    assert all(sorted(epoch) == sorted(problem.id for problem in PROBLEMS) for epoch in epochs)
    assert len(set(map(tuple, epochs))) > 1, "every epoch has an order of its own"


def test_a_step_needs_no_step_before_it():
    forwards = [ids(step) for step in range(1, 30)]
    assert [ids(step) for step in range(29, 0, -1)][::-1] == forwards


def test_the_number_of_problems_a_step_does_not_change_their_order():
    assert [one for step in range(1, 16) for one in ids(step, count=1)] == [
        one for step in range(1, 6) for one in ids(step, count=3)
    ]


def test_the_seed_decides():
    whole = [ids(1, count=7, seed=seed) for seed in range(5)]
    assert len(set(map(tuple, whole))) > 1
    assert ids(1, count=7, seed=3) == whole[3]


def test_more_problems_than_there_are():
    drawn = ids(1, count=16)
    assert sorted(drawn[:7]) == sorted(drawn[7:14]) and len(drawn) == 16


def test_first_places_are_taken_by_all_alike():
    """Over many seeds each problem opens about as many epochs: 700 of them, 100 each, standard deviation 9.3."""
    opening = [ids(1, count=1, seed=seed)[0] for seed in range(700)]
    assert all(60 < opening.count(problem.id) < 140 for problem in PROBLEMS)
