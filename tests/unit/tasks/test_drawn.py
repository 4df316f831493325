"""Draws that depend on a name alone, and splits that depend on the key alone."""

from collections import Counter

import pytest

from paring.tasks.drawn import SIZES, Chance, draw_splits, split_of
from paring.types import Problem


def numbered(number):
    """Every number gives a problem, and every third one again that of the number before."""
    key = str(number - (number % 3 == 2))
    return key, Problem(key, ({"role": "user", "content": key},), str(number))


def test_chance_is_a_function_of_its_name():
    one, other, another = Chance("a"), Chance("a"), Chance("b")
    draws = [[chance.below(1000) for _ in range(20)] for chance in (one, other, another)]
    assert draws[0] == draws[1] != draws[2]
    assert draws[0][:3] == [346, 116, 368]


def test_chance_is_even():
    chance = Chance("even")
    counts = Counter(chance.below(5) for _ in range(5000))
    assert counts.keys() == set(range(5))
    assert sum((count - 1000) ** 2 / 1000 for count in counts.values()) < 18.5  # chi-squared, 4 degrees: p = 0.001


def test_splits_have_their_sizes_and_hold_no_key_twice():
    splits = draw_splits(numbered)
    assert {split: len(problems) for split, problems in splits.items()} == SIZES
    keys = [problem.id for problems in splits.values() for problem in problems]
    assert len(set(keys)) == len(keys)
    assert all(split_of(problem.id) == split for split, problems in splits.items() for problem in problems)


def test_of_equal_problems_the_first_is_kept_and_the_order_is_that_of_the_draws():
    for problems in draw_splits(numbered).values():
        golds = [int(problem.gold) for problem in problems]
        assert golds == sorted(golds)
        assert not any(gold % 3 == 2 for gold in golds)


def test_one_key_in_eight_is_held_out_half_of_them_for_validation():
    counts = Counter(split_of(str(number)) for number in range(16_000))
    assert abs(counts["validation"] - 1000) < 100 and abs(counts["test"] - 1000) < 100


def test_too_few_problems_are_an_error(monkeypatch):
    monkeypatch.setattr("paring.tasks.drawn.MOST_DRAWS", 100)
    with pytest.raises(ValueError, match="only 67 different problems in 100 draws: widen the ranges"):
        draw_splits(numbered)
    with pytest.raises(ValueError, match="only 0 different"):
        draw_splits(lambda number: None)
