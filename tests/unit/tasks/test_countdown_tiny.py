"""Countdown for the embedded models: its alphabet and lengths, its solutions, and how attempts are read."""

import re

import pytest

from paring.tasks.countdown_tiny import CountdownTiny, candidates, searched
from paring.types import Problem

TASK = CountdownTiny()
PROBLEM = Problem("countdown-tiny/3,7,12:16", ({"role": "user", "content": "3,12,7:16="},), "12+7-3")


def asked(problem):
    numbers, target = re.fullmatch(r"(\d+,\d+,\d+):(\d+)=", problem.messages[0]["content"]).groups()
    return [int(number) for number in numbers.split(",")], int(target)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_every_problem_has_a_solution_that_fits_the_embedded_models(split):
    for problem in TASK.problems(split)[:500]:
        numbers, target = asked(problem)
        assert sorted(numbers)[0] >= 1 and sorted(numbers)[1] <= 19 and max(numbers) <= 99 and 0 <= target <= 99
        assert any(sum(terms) == target for terms in candidates(numbers))
        score = TASK.score(problem, problem.solution)
        assert score.reward == 1.1 and score.traits["working"]
        assert len(problem.messages[0]["content"]) <= 12 and len(problem.solution) <= 96 < 128 - 12 - 4


def test_the_splits_are_pinned_and_share_no_numbers_and_target():
    problems = [problem for split in ("train", "validation", "test") for problem in TASK.problems(split)]
    assert len({(tuple(sorted(asked(problem)[0])), asked(problem)[1]) for problem in problems}) == 11_000
    assert problems[0].id == "countdown-tiny/9,12,80:83"


def test_candidates_are_every_choice_of_signs_within_the_bounds():
    assert candidates([3, 12, 7]) == [[12, 3, 7], [12, 3, -7], [12, -3, 7], [12, -3, -7]]
    assert candidates([10, 10, 10]) == [[10, 10, 10], [10, 10, -10], [10, -10, 10]]
    assert candidates([99, 1, 1]) == [[99, -1, 1], [99, -1, -1]]


def test_a_search_is_written_attempt_by_attempt():
    text = searched([[12, 3, 7], [12, 3, -7]])
    assert text == "12+3=15;15+7=22,12+3=15;15-7=8<answer>12+3-7</answer>"


@pytest.mark.parametrize(
    ("text", "reward", "working", "self_correction"),
    [
        ("<answer>12+7-3</answer>", 1.1, False, False),
        ("<answer>7-3+12</answer>", 1.1, False, False),
        ("<answer>7+(12-3)</answer>", 1.1, False, False),
        ("<answer>12+7+3</answer>", 0.1, False, False),
        ("<answer>12+7</answer>", 0.1, False, False),
        ("<answer>16</answer>", 0.1, False, False),
        ("<answer>12+7-3", 0.0, False, False),
        ("<answer></answer>", 0.0, False, False),
        ("<answer>12+7-3</answer>.", 0.0, False, False),
        ("<answer>12+7-3<answer>", 0.0, False, False),
        ("12+7=19;19-3=16<answer>12+7-3</answer>", 1.1, True, False),
        ("12+3=15;15+7=22,12-3=9;9+7=16<answer>12+7-3</answer>", 1.1, True, True),
        ("12+3=15;15+7=22<answer>12+3+7</answer>", 0.1, False, False),
        ("12+3=15;15+7=22,12-3=9;9-7=2<answer>12-3-7</answer>", 0.1, False, True),
        ("12+3=15;15+7=23,12-3=9;9+7=16<answer>12+7-3</answer>", 1.1, False, False),
        ("12+7=19;19-3=16,12-3=9;9+7=16<answer>12+7-3</answer>", 1.1, True, False),
    ],
)
def test_scores(text, reward, working, self_correction):
    score = TASK.score(PROBLEM, text)
    assert score.reward == pytest.approx(reward) and score.correct is (reward >= 1)
    assert score.traits == {"working": working, "self_correction": self_correction}
