"""A step's rollout: which problems are drawn, which replaced, and what is told of them."""

import re
from collections import Counter
from dataclasses import dataclass, field

import pytest
import torch

from paring.maths.objectives import Dapo, Rgra, Sft
from paring.rollout.lagged import LaggedEngine
from paring.runtime.machine import Stopwatch
from paring.training.collecting import collect, failures_in_words
from paring.training.config import load_run
from paring.training.draws import items_of_step, others_of_step
from paring.training.setup import Setup
from paring.types import Completion, Group, Key, Problem, Score

PROBLEMS = [Problem(str(number), (), "") for number in range(1, 13)]


@dataclass
class Spoken:
    """An engine whose members answer "0", "1", ... and remembers what it was asked."""

    asked: list[str] = field(default_factory=list)

    def sample(self, problems, group_size, sampling, key):
        self.asked.extend(problem.id for problem in problems)
        answers = [Completion((1,) * (member + 1), (-0.5,) * (member + 1), str(member), True) for member in range(8)]
        return [Group(problem, (1,), tuple(answers[:group_size])) for problem in problems]


@dataclass
class Mixed:
    """A task in which the first answer is right to every problem whose number is a multiple of `of`, no other is."""

    of: int
    name: str = "mixed"

    def score(self, problem, text):
        correct = int(problem.id) % self.of == 0 and text == "0"
        return Score({"correct": float(correct), "format": 0.1}, correct)


def collected(objective, task, **changes):
    run = load_run("quickstart", **{"rollout.problems": 4, "rollout.group_size": 3} | changes)
    engine = Spoken()
    setup = Setup(None, task, run.rewards, PROBLEMS, objective, engine, LaggedEngine(engine, {}, every=1))
    watch = Stopwatch()
    return collect(setup, run.rollout, Key(0, 2), watch), engine.asked, watch


def test_without_redraws_the_step_s_problems(monkeypatch):
    found, asked, watch = collected(Rgra(), Mixed(of=100))
    expected = [problem.id for problem in items_of_step(PROBLEMS, 4, seed=0, step=2)]
    assert asked == expected == [group.problem.id for group in found.groups]
    assert found.kept == [0, 1, 2, 3] and found.kept_groups == found.groups
    assert watch.seconds.keys() == {"rollout", "score"}


def test_problems_without_signal_are_replaced_in_their_places():
    found, asked, _ = collected(Dapo(redraws=20), Mixed(of=2))
    assert all(int(group.problem.id) % 2 == 0 for group in found.kept_groups)
    first = asked[:4]
    for place, index in enumerate(found.kept):
        assert int(first[place]) % 2 or index == place
    assert len(set(asked)) == len(asked), "none is sampled twice"
    others = [one.id for one in others_of_step(PROBLEMS, items_of_step(PROBLEMS, 4, seed=0, step=2), seed=0, step=2)]
    assert asked[4:] == others[: len(asked) - 4]
    assert collected(Dapo(redraws=20), Mixed(of=2))[0] == found


def test_what_has_no_signal_after_the_last_redraw_stays():
    found, asked, _ = collected(Dapo(redraws=2), Mixed(of=100))
    assert len(asked) == 12 and found.kept == [8, 9, 10, 11]
    # The problems of the split are used up before the redraws are.
    found, asked, _ = collected(Dapo(redraws=9), Mixed(of=100))
    assert sorted(map(int, asked)) == list(range(1, 13)) and found.kept == [8, 9, 10, 11]


def test_every_objective_can_redraw_by_verdict_or_by_reward():
    same = collected(Dapo(redraws=20), Mixed(of=2))[0]
    assert collected(Rgra(), Mixed(of=2), **{"rollout.redraws": 20})[0] == same
    assert collected(Dapo(), Mixed(of=2), **{"rollout.redraws": 0})[0].kept == [0, 1, 2, 3]
    by_reward = {"rollout.redraws": 20, "rollout.redraw_by": "reward"}
    assert collected(Rgra(), Mixed(of=2), **by_reward)[0] == same
    # Graded rewards: no answer is right, and each group has a signal.
    graded = Mixed(of=100)
    graded.score = lambda problem, text: Score({"part": float(text)}, False)
    assert len(collected(Rgra(), graded, **by_reward)[1]) == 4
    assert len(collected(Rgra(), graded, **{"rollout.redraws": 20})[1]) == len(PROBLEMS)
    with pytest.raises(ValueError, match=r"rollout.redraws = 2: the objective learns from solutions"):
        collected(Sft(), Mixed(of=2), **{"rollout.redraws": 2})


def test_a_problem_that_a_step_draws_twice_is_sampled_anew():
    drawn = {}

    class Asked(Spoken):
        def sample(self, problems, group_size, sampling, key):
            drawn.update(Counter((problem.id, member) for problem in problems for member in problem.members(3)))
            return super().sample(problems, group_size, sampling, key)

    engine = Asked()
    run = load_run("quickstart", **{"rollout.problems": 4, "rollout.group_size": 3})
    setup = Setup(None, Mixed(of=2), {}, PROBLEMS[:2], Rgra(), engine, LaggedEngine(engine, {}, every=1))
    collect(setup, run.rollout, Key(0, 1), Stopwatch())
    assert set(drawn.values()) == {1} and len(drawn) == 4 * 3


def test_rewards_are_weighted_and_the_outcome_is_of_what_is_kept():
    found, _, _ = collected(Dapo(redraws=20), Mixed(of=2), rewards={"format": 0.0, "correct": 2.0})
    outcome = found.outcome(longest=9)
    assert outcome.reward_PG.tolist() == [[2.0, 0.0, 0.0]] * 4
    assert outcome.correct_PG.tolist() == [[True, False, False]] * 4
    assert outcome.length_PG.tolist() == [[1, 2, 3]] * 4 and outcome.longest == 9
    assert found.reward_PG().shape == (len(found.groups), 3) and len(found.groups) > 4
    rows = found.rows(2, torch.ones(4, 3))
    assert len(rows) == 3 * len(found.groups) and {row.step for row in rows} == {2}
    advantages = [[row.advantage for row in rows[start : start + 3]] for start in range(0, len(rows), 3)]
    kept = [index for index, row in enumerate(advantages) if row == [1.0] * 3]
    assert kept == sorted(found.kept) and sum(map(sum, advantages)) == 12


def test_parts_that_could_not_be_computed_are_counted_with_a_reason():
    judge = Mixed(of=2)
    judge.score = lambda problem, text: Score({"right": 0.0}, False, failed={"judge": "gone"} if text == "1" else {})
    metrics = collected(Rgra(), judge)[0].metrics(sampled=True)
    assert metrics["reward_failures"] == {"judge": {"answers": 4, "reason": "gone"}}
    assert failures_in_words(metrics) == ["reward judge could not be computed for 4 answers: gone"]
    assert "reward_failures" not in collected(Rgra(), Mixed(of=2))[0].metrics(sampled=True)


def test_of_solutions_one_a_problem():
    found, _, _ = collected(Sft(), Mixed(of=2))
    assert [len(group.completions) for group in found.groups] == [1] * 4


def test_others_are_all_but_those_drawn_in_an_order_of_the_step():
    orders = [[one.id for one in others_of_step(PROBLEMS, PROBLEMS[:3], seed=0, step=step)] for step in (1, 2)]
    assert [sorted(map(int, order)) for order in orders] == [list(range(4, 13))] * 2
    assert orders[0] != orders[1]


@pytest.mark.parametrize(("reward", "written"), [(float("nan"), "nan"), (-float("inf"), "-inf"), (1.7e308, "1.7e+308")])
def test_a_reward_that_cannot_be_summed_names_its_problem(reward, written):
    class Broken(Mixed):
        def score(self, problem, text):
            return Score({"correct": reward}, False)

    found, _, _ = collected(Rgra(), Broken(of=1))
    with pytest.raises(ValueError, match=rf"problem {found.groups[0].problem.id} the reward {re.escape(written)}: it"):
        found.reward_PG()
