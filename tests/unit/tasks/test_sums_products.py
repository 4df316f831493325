"""Sums and products: the counts of the splits and the score."""

import ast
import operator

import pytest

from paring.tasks.sums_products import SumsAndProducts

SPLITS = ("train", "validation", "test")
FIRST_TESTED = ["12+7", "3+7", "5+1", "4+9", "9*6", "3*5"]


def test_288_problems_a_third_held_out_balanced():
    task = SumsAndProducts()
    parts = {split: task.problems(split) for split in SPLITS}
    assert {split: len(part) for split, part in parts.items()} == {"train": 160, "validation": 32, "test": 96}
    sums = {split: sum("+" in problem.id for problem in part) for split, part in parts.items()}
    assert sums == {"train": 80, "validation": 16, "test": 48}
    ids = {problem.id for part in parts.values() for problem in part}
    assert ids == {f"sums-and-products/{a}{sign}{b}" for a in range(1, 13) for sign in "+*" for b in range(1, 13)}


def test_the_split_never_changes():
    """Written down once: another split would make reported numbers incomparable."""
    first = [problem.id.removeprefix("sums-and-products/") for problem in SumsAndProducts().problems("test")[:6]]
    assert first == FIRST_TESTED


@pytest.mark.parametrize("largest", [3, 4, 7, 20])
def test_every_split_has_problems_and_they_share_none(largest):
    parts = [{problem.id for problem in SumsAndProducts(largest=largest).problems(split)} for split in SPLITS]
    assert all(parts)
    assert sum(map(len, parts)) == len(set.union(*parts)) == 2 * largest**2


def test_every_gold_is_the_value_of_its_question():
    signs = {ast.Add: operator.add, ast.Mult: operator.mul}
    for split in SPLITS:
        for problem in SumsAndProducts().problems(split):
            (message,) = problem.messages
            assert message["role"] == "user"
            expression = message["content"].removeprefix("What is ").removesuffix("? Reply with only the final number.")
            tree = ast.parse(expression, mode="eval").body
            assert int(problem.gold) == signs[type(tree.op)](tree.left.value, tree.right.value)


@pytest.mark.parametrize(
    ("text", "correct", "only_number"),
    [
        ("56", True, True),
        (" 56.\n", True, True),
        ("7 * 8 = 56", True, False),
        ("56, not 54", False, False),
        ("54", False, True),
        ("", False, False),
        ("5.6e1", False, False),
        ("\ud800\x00" * 1000, False, False),
        ("9" * 10_000, False, False),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_score(text, correct, only_number):
    task = SumsAndProducts()
    problem = next(p for split in SPLITS for p in task.problems(split) if p.id == "sums-and-products/7*8")
    score = task.score(problem, text)
    assert (score.parts, score.correct) == ({"correct": float(correct)}, correct)
    assert score.traits == {"only_number": only_number}


@pytest.mark.parametrize(
    "wrong", [{"largest": 2}, {"largest": 101}, {"largest": 12.0}, {"smallest": 1}, {"name": "sums"}]
)
def test_bad_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SumsAndProducts(**wrong)
