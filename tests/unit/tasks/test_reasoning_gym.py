"""Generators of reasoning-gym as a task: their problems, their verifiers, and what stops neither."""

import json

import pytest

pytest.importorskip("reasoning_gym")

from paring.tasks.reasoning_gym import Generator, ReasoningGym
from paring.training.config import task_named

SUMS = Generator(name="basic_arithmetic", options={"min_terms": 2, "max_terms": 2})


def test_problems_by_weight_in_splits_that_share_none():
    leg = Generator(name="leg_counting", weight=3)
    task = ReasoningGym(generators=(SUMS, leg), draws=80)
    splits = [task.problems(split) for split in ("train", "validation", "test")]
    problems = [problem for split in splits for problem in split]
    names = [json.loads(json.loads(problem.gold)["source"])["generator"] for problem in problems]
    assert len({problem.id for problem in problems}) == len(problems) <= 80
    assert names.count("leg_counting") > 2 * names.count("basic_arithmetic") > 0
    assert splits == [task.problems(split) for split in ("train", "validation", "test")]


def test_its_own_verifier_judges_and_an_answer_is_needed():
    task = ReasoningGym(generators=(SUMS,), draws=24)
    first, second = task.problems("train")[:2]
    answer = json.loads(first.gold)["answer"]
    texts = [f"<answer>{answer}</answer>", "<answer>x</answer>", answer, rf"\boxed{{{answer}}}"]
    scores = task.score_all([(first, text) for text in texts])
    assert [score.correct for score in scores] == [True, False, False, True]
    assert [score.why for score in scores] == ["right", "wrong", "no answer", "right"]
    assert all(0 <= score.reward <= 1 for score in scores)
    assert task.score(second, f"<answer>{json.loads(second.gold)['answer']}</answer>").reward == 1


def test_a_verifier_that_takes_too_long_is_killed_and_costs_its_answer_only():
    task = ReasoningGym(generators=(SUMS,), draws=24, seconds=0.001)
    problem = task.problems("train")[0]
    assert task.score(problem, f"<answer>{'9' * 19_999}</answer>").why in ("timeout", "killed", "wrong")


def test_difficulty_and_what_is_unknown():
    easy, hard = (Generator(name="basic_arithmetic", difficulty=level) for level in (0, 3))
    lengths = [
        sum(
            len(problem.messages[-1]["content"])
            for problem in ReasoningGym(generators=(one,), draws=40).problems("train")
        )
        for one in (easy, hard)
    ]
    assert lengths[0] < lengths[1]
    for generator, complaint in (
        (Generator(name="none"), "'none' is unknown"),
        (Generator(name="basic_arithmetic", options={"x": 1}), "does not take"),
    ):
        with pytest.raises(ValueError, match=complaint):
            ReasoningGym(generators=(generator,)).problems("train")
    recipe = {"generators": [{"name": "leg_counting", "weight": 2.0}]}
    assert task_named("reasoning-gym", recipe) == ReasoningGym(generators=(Generator(name="leg_counting", weight=2.0),))
