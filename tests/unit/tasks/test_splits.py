"""The hash order, what is held out of rows, draws that depend on a name alone, and splits by the key alone."""

from collections import Counter
from random import Random

import pytest

from paring.tasks.splits import SIZES, Chance, digest, draw_splits, hash_order, hold_out, split_of, three_splits
from paring.types import Problem


def test_digest_is_blake2b_of_64_bits():
    """Expected values: printf '0\\nabc' | b2sum -l 64, and with 3 for the seed."""
    assert digest("abc") == "a60350cf1aa8420a"
    assert digest("abc", seed=3) == "812d7a0c08cf7dc1"


def test_the_order_depends_on_the_texts_and_the_seed_alone():
    words = [f"word {number}" for number in range(100)]
    ordered = hash_order(words, str)
    assert sorted(ordered) == sorted(words)
    assert hash_order(Random(0).sample(words, 100), str) == ordered
    assert hash_order(words, str, seed=1) != ordered
    assert hash_order(words[:-1], str) == [word for word in ordered if word != words[-1]]


@pytest.mark.parametrize(("rows", "sizes"), [(3, (1, 1, 1)), (15, (1, 1, 13)), (16, (2, 2, 12)), (80, (10, 10, 60))])
def test_an_eighth_is_held_out_twice(rows, sizes):
    words = [f"word {number}" for number in range(rows)]
    parts = hold_out(words, str, parts=2, source="rows.jsonl")
    assert tuple(map(len, parts)) == sizes
    assert [word for part in parts for word in part] == hash_order(words, str)
    assert three_splits(words, str, None, "rows.jsonl") == dict(
        zip(("test", "validation", "train"), parts, strict=True)
    )


def test_a_test_file_is_the_test_split():
    splits = three_splits([str(number) for number in range(16)], str, ["x", "y"], "rows.jsonl")
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 14, "validation": 2, "test": 2}


def test_rows_of_the_same_text_stay_together():
    held_out, rest = hold_out([number % 4 for number in range(40)], str, parts=1, source="rows.jsonl")
    assert len(held_out) == 10 and not set(held_out) & set(rest)
    with pytest.raises(ValueError, match="rows.jsonl: 5 rows, at least 2 with different prompts are needed"):
        hold_out([1] * 5, str, parts=1, source="rows.jsonl")


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
    monkeypatch.setattr("paring.tasks.splits.MOST_DRAWS", 100)
    with pytest.raises(ValueError, match="only 67 different problems in 100 draws: widen the ranges"):
        draw_splits(numbered)
    with pytest.raises(ValueError, match="only 0 different"):
        draw_splits(lambda number: None)
