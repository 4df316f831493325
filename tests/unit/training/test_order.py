"""The problems of a step: whole epochs, each in an order of its own, a function of seed and step alone."""

import pytest

from paring.rollout.served.answers import seed_of
from paring.training.draws import items_of_step, numbered
from paring.types import Key, Problem

PROBLEMS = [Problem(id=str(n), messages=(), gold="") for n in range(7)]


def ids(step, *, count=3, seed=0, problems=PROBLEMS):
    return [problem.id for problem in items_of_step(problems, count, seed=seed, step=step)]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 10])
def test_each_epoch_goes_once_through_all(count):
    drawn = [problem for step in range(1, 22) for problem in ids(step, count=count)]
    epochs = [drawn[start : start + 7] for start in range(0, len(drawn), 7)]
    assert all(sorted(epoch) == sorted(problem.id for problem in PROBLEMS) for epoch in epochs)
    assert len(set(map(tuple, epochs))) > 1, "every epoch has an order of its own"


def test_a_step_needs_no_step_before_it():
    forwards = [ids(step) for step in range(1, 30)]
    assert [ids(step) for step in range(29, 0, -1)][::-1] == forwards


@pytest.mark.parametrize(("total", "count"), [(7, 3), (7, 4), (7, 5), (7, 6), (5, 5), (9, 8), (50, 16), (1001, 16)])
def test_no_step_draws_a_problem_twice_where_there_are_enough(total, count):
    for seed in range(3):
        steps = [items_of_step(range(total), count, seed=seed, step=step) for step in range(1, 201)]
        assert all(len(set(step)) == count for step in steps)


def test_where_no_epoch_begins_within_a_step_the_number_of_problems_a_step_does_not_change_their_order():
    problems = [Problem(id=str(n), messages=(), gold="") for n in range(12)]
    one, three = ([ids(step, count=count, problems=problems) for step in range(1, 37)] for count in (1, 3))
    assert [name for step in one for name in step] == [name for step in three[:12] for name in step]


def test_a_problem_that_a_step_draws_again_has_members_of_its_own():
    drawn = numbered(items_of_step(PROBLEMS, 16, seed=0, step=1))
    members = {(problem.id, member) for problem in drawn for member in problem.members(4)}
    assert len(members) == 16 * 4 and sorted({problem.draw for problem in drawn}) == [0, 1, 2]
    assert numbered(PROBLEMS) == PROBLEMS and {problem.draw for problem in numbered(PROBLEMS)} == {0}


@pytest.mark.parametrize(("count", "shares", "sizes"), [(8, (0.5, 0.25, 0.25), (9, 40, 5)), (3, (0.9, 0.1), (30, 2))])
def test_tasks_are_drawn_by_their_shares_and_no_problem_twice_in_a_step(count, shares, sizes):
    borders, steps = [0.0, *(sum(shares[: place + 1]) for place in range(len(shares) - 1)), 1.0], 400
    parts = [
        [items_of_step(range(size), count, seed=1, step=step, low=low, high=high) for step in range(1, steps + 1)]
        for size, low, high in zip(sizes, borders, borders[1:], strict=False)
    ]
    assert all(sum(len(part[step]) for part in parts) == count for step in range(steps))
    for part, share, size in zip(parts, shares, sizes, strict=True):
        drawn = [one for step in part for one in step]
        assert abs(len(drawn) - share * count * steps) < 3
        assert all(len(set(step)) == len(step) and abs(len(step) - share * count) <= 1 for step in part)
        epochs = [drawn[start : start + size] for start in range(0, len(drawn) - size + 1, size)]
        assert all(sorted(epoch) == list(range(size)) for epoch in epochs)


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


def test_servers_sample_a_problem_that_is_drawn_again_by_another_seed():
    seeds = [seed_of(Key(0, 1), problem, 1) for problem in numbered([PROBLEMS[0]] * 3)]
    assert len(set(seeds)) == 3
