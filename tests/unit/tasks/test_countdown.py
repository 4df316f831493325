"""Countdown: its problems can be solved, its splits are apart whatever the order of numbers, its check is exact."""

import re
import time

import pytest

from paring.tasks.countdown import Countdown, solves
from paring.tasks.expressions import read_expression
from paring.tasks.splits import split_of
from paring.types import Problem

TASK = Countdown()
EIGHTS = Problem("countdown/3 3 8 8 = 24", ({"role": "user", "content": ""},), "8 / (3 - (8 / 3))")
EASY = Problem("countdown/3 7 25 = 54", ({"role": "user", "content": ""},), "(25 - 7) * 3")


def asked(problem):
    numbers, target = re.search(r"numbers (.*) to make (\d+)\.", problem.messages[-1]["content"]).groups()
    return [int(number) for number in re.findall(r"\d+", numbers)], int(target)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_every_problem_has_a_solution(split):
    for problem in TASK.problems(split)[:500]:
        numbers, target = asked(problem)
        gold = read_expression(problem.gold)
        assert sorted(gold.numbers) == sorted(numbers) and gold.value == target
        assert 3 <= len(numbers) <= 4 and 1 <= target <= 1000 and all(1 <= number <= 100 for number in numbers)
        score = TASK.score(problem, problem.solution)
        assert score.parts == {"format": 0.1, "correct": 1.0}
        assert score.traits == {"working": True, "self_correction": False}


def test_the_working_of_a_solution_is_true_natural_and_ends_at_the_target():
    for problem in TASK.problems("train")[:500]:
        numbers, target = asked(problem)
        steps = problem.solution.partition("<think>\n")[2].partition("\n</think>")[0].split("\n")
        for step in steps:
            left, _, result = step.partition(" = ")
            assert read_expression(left).value == int(result) > 0
        assert len(steps) == len(numbers) - 1 and steps[-1].endswith(f" = {target}")


def test_two_orders_of_the_same_numbers_are_one_problem():
    seen = [
        (tuple(sorted(asked(problem)[0])), asked(problem)[1])
        for split in ("train", "validation", "test")
        for problem in TASK.problems(split)
    ]
    assert len(set(seen)) == len(seen) == 11_000
    assert any(asked(problem)[0] != sorted(asked(problem)[0]) for problem in TASK.problems("train")[:20])


def test_the_splits_are_pinned_and_by_hash():
    assert TASK.problems("train")[0].id == "countdown/19 53 66 = 32"
    for split in ("train", "validation", "test"):
        keys = [problem.id.removeprefix("countdown/") for problem in TASK.problems(split)[:100]]
        assert {split_of(key) for key in keys} == {split}


def test_all_four_operations_and_both_sizes_are_drawn():
    golds = [problem.gold for problem in TASK.problems("test")]
    assert all(sum(sign in gold for gold in golds) > 10 for sign in "+-*/")
    assert {len(read_expression(gold).numbers) for gold in golds} == {3, 4}


def test_settings_say_what_is_drawn():
    task = Countdown(fewest=5, most=5, largest=20, largest_target=100)
    for problem in task.problems("validation")[:50]:
        numbers, target = asked(problem)
        assert len(numbers) == 5 and max(numbers) <= 20 and target <= 100
    with pytest.raises(ValueError, match="fewest = 5 is more than most = 4"):
        Countdown(fewest=5)
    with pytest.raises(ValueError, match="largest"):
        Countdown(largest=2)


@pytest.mark.parametrize(
    ("problem", "answer", "right"),
    [
        (EIGHTS, "8 / (3 - 8 / 3)", True),
        (EIGHTS, "8/(3-8/3)", True),
        (EIGHTS, "8 * 3", False),
        (EIGHTS, "8 * 3 * (8 - 3 - 4)", False),
        (EIGHTS, "3 * 8 + 3 - 8", False),
        (EIGHTS, "24", False),
        (EIGHTS, "", False),
        (EASY, "3 * (25 - 7)", True),
        (EASY, "(25-7)*3", True),
        (EASY, "(25 - 7) * 3 = 54", False),
        (EASY, "25 * 3 - 7 * 3", False),
        (EASY, "25 - 7 + 3", False),
        (EASY, "(25 - 7) * 3 + 0", False),
        (EASY, "(25 - 7) ** 3", False),
        (EASY, "54 + 25 - 25", False),
        (EASY, "(2 5 - 7) * 3", False),
    ],
)
def test_what_solves(problem, answer, right):
    assert solves(problem, answer) is right


@pytest.mark.parametrize(
    ("text", "reward", "working", "self_correction"),
    [
        ("<think> x </think> <answer> (25 - 7) * 3 </answer>", 1.1, False, False),
        ("<answer> (25 - 7) * 3 </answer>", 1.0, False, False),
        ("<think> x </think> <answer> 25 - 7 - 3 </answer>", 0.1, False, False),
        ("<think> x </think> <answer> no idea </answer>", 0.0, False, False),
        ("<answer> 1 </answer> <answer> (25 - 7) * 3 </answer>", 1.0, False, False),
        ("(25 - 7) * 3", 0.0, False, False),
        ("<think> 25 - 7 = 18 </think> <answer> (25 - 7) * 3 </answer>", 1.1, True, False),
        ("<think>(25 + 7) * 3 = 96 no</think> <answer> (25 - 7) * 3 </answer>", 1.1, True, False),
        ("<think>25 + 7 = 32\n(25 - 7) * 3 = 54</think> <answer> (25 - 7) * 3 </answer>", 1.1, True, False),
        ("<think>(25 + 7) * 3 = 96\n(25 - 7) * 3 = 54</think> <answer> (25 - 7) * 3 </answer>", 1.1, True, True),
        ("<think>\n(25 - 7) * 3 = 54\n</think> <answer> (25 - 7) * 3 </answer>", 1.1, True, False),
        ("<think> wait, 25 - 7 </think> <answer> (25 - 7) * 3 </answer>", 1.1, False, True),
    ],
)
def test_scores(text, reward, working, self_correction):
    score = TASK.score(EASY, text)
    assert score.reward == pytest.approx(reward) and score.correct is (reward >= 1)
    assert score.traits == {"working": working, "self_correction": self_correction}


@pytest.mark.parametrize(
    "text",
    [
        "<think>" + "(25 + 7) * 3 = 96\n" * 100_000 + "</think><answer>1</answer>",
        "<answer>" + "(" * 1_000_000 + "</answer>",
        "<answer>9**9**9**9</answer>",
        "<answer>__import__('os').abort()</answer>",
        "<answer>" * 100_000 + "</answer>" * 100_000,
        "=" * 1_000_000,
    ],
)
def test_hostile_text_is_worth_nothing_and_costs_little(text):
    start = time.perf_counter()
    score = TASK.score(EASY, text)
    assert time.perf_counter() - start < 3
    assert score.parts["correct"] == 0
