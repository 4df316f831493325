"""Every kind of objective at rollouts that leave it little: all stays finite, and nothing moves without a signal."""

import math
from typing import get_args

import pytest
import torch

from paring.adapters.attach import parameters_by_name
from paring.maths.advantages import Outcome
from paring.maths.objectives import OfAims, OfBounds, OfEntropy, OfFamily, OfHalves, OfPaper
from paring.rollout.engine import Rollout
from paring.runtime.machine import Stopwatch
from paring.training.optim import Adam, Optimiser
from paring.training.update import Worth, improve
from paring.types import Completion, Group, Problem

KINDS = [
    kind(**{"k": 2} if "k" in kind.__dataclass_fields__ else {})
    for of in (OfPaper, OfFamily, OfHalves, OfBounds, OfAims, OfEntropy)
    for kind in get_args(of)
]
NO_SIGNAL = ("reinforce", "raft", "sft", "raft-plus", "nsr", "psr")
"""Kinds that learn from groups whose answers are all worth the same."""
MIXED = [[1.1, 0.1], [0.0, 1.0]]
FORM, CORRECT = [[0.1, 0.1], [0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]


def rollout_of(rewards, *, ended=False):
    """Two groups of two answers of one token; unless they ended, all were cut off."""
    reward_PG = torch.tensor(rewards, dtype=torch.float64)
    groups = [
        Group(
            Problem(f"{place}", (), ""),
            (3, 4 + place),
            tuple(Completion((7 * place + number,), (-1.0,), "", ended) for number in range(2)),
        )
        for place in range(2)
    ]
    parts = {"form": torch.tensor(FORM, dtype=torch.float64), "correct": torch.tensor(CORRECT, dtype=torch.float64)}
    of_answers = torch.ones(2, 2, dtype=torch.int64), 1, torch.full((2, 2), ended)
    return groups, Outcome(reward_PG, reward_PG >= 1, *of_answers, parts if rewards == MIXED else {})


def improved(policy, objective, groups, outcome, *, mask_truncated=False):
    return improve(
        policy,
        Optimiser(parameters_by_name(policy.adapters), Adam()),
        Worth.of(objective, groups, outcome, mask_truncated=mask_truncated),
        objective,
        Rollout(problems=2, group_size=2, max_new_tokens=outcome.longest, updates=4),
        **{"tokens_per_pass": 64, "lr": 0.05, "seed": 0, "watch": Stopwatch()},
    )


@pytest.mark.parametrize("objective", KINDS, ids=lambda kind: kind.kind)
def test_one_token_equal_rewards_and_cut_off_answers(make_policy, objective):
    """Four updates, at a learning rate that moves far."""
    policy = make_policy()

    def values():
        return [parameter.detach().clone() for parameter in parameters_by_name(policy.adapters).values()]

    def is_finite(found):
        numbers = [value for value in found.measures.values() if isinstance(value, float)]
        return all(map(math.isfinite, numbers)) and all(value.isfinite().all() for value in values())

    before = values()
    equal = improved(policy, objective, *rollout_of([[1.1, 1.1], [0.0, 0.0]]))
    assert is_finite(equal)
    if objective.kind not in NO_SIGNAL:
        assert all(map(torch.equal, values(), before)) and equal.measures["grad_norm"] == 0
    masked = improved(policy, objective, *rollout_of(MIXED), mask_truncated=True)
    assert is_finite(masked) and masked.measures["loss"] == 0
    at_masked = values()
    assert is_finite(improved(policy, objective, *rollout_of(MIXED, ended=True)))
    assert not all(map(torch.equal, values(), at_masked))
