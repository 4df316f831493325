"""Every kind by hand: its loss with ratios away from 1, and what it makes of rewards."""

from dataclasses import replace
from itertools import combinations
from math import comb, exp, log

import pytest
import torch

from paring.maths.advantages import Outcome, pass_at_k_gain
from paring.maths.objective import LogProbs, Totals
from paring.maths.objectives import (
    Cispo,
    ClipCov,
    Dapo,
    Dppo,
    DrGrpo,
    Gdpo,
    Gmpo,
    Gpg,
    Grpo,
    GrpoPositive,
    Gspo,
    KlCov,
    Luspo,
    MaxRl,
    Nsr,
    Pkpo,
    Psr,
    Raft,
    RaftPlus,
    Rec,
    Reinforce,
    ReinforceRej,
    Rgra,
    Rloo,
    Sapo,
    Sft,
    Vespo,
    Wapo,
)

# Two completions of 3 tokens and of 1, with the ratios 1.5, 1, 0.5 and 0.5.
MASK_BT = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
POLICY_BT = torch.tensor([[-1.0, -2.0, -3.0], [-0.5, 0.0, 0.0]])
OLD_BT = POLICY_BT - torch.tensor([[1.5, 1.0, 0.5], [0.5, 1.0, 1.0]]).log()
BOTH, FIRST = Totals(sequences=2, tokens=4, longest=3), Totals(sequences=1, tokens=3, longest=3)


@pytest.mark.parametrize(
    ("objective", "advantages", "totals", "loss", "clipped"),
    [
        # A log pi: 1.5 x -6 and -0.5 x -0.5.
        (Rgra(), [1.5, -0.5], BOTH, (9 / 3 - 0.25) / 2, 0),
        (Rgra(reduce="constant"), [1.5, -0.5], BOTH, 8.75 / (2 * 3), 0),
        (Rloo(), [1.5, -0.5], BOTH, 8.75 / 2, 0),
        (Gpg(), [1.5, -0.5], BOTH, (9 / 3 - 0.25) / 2, 0),
        (Reinforce(), [1.1, 0.1], BOTH, (6.6 / 3 + 0.05) / 2, 0),
        (Psr(), [1.0, 0.0], BOTH, 6 / 4, 0),
        (Nsr(), [0.0, -1.0], BOTH, -0.5 / 4, 0),
        # Cross-entropy: of both, and of the first alone.
        (Sft(), [1.0, 1.0], BOTH, 6.5 / 4, 0),
        (Raft(), [1.0, 0.0], FIRST, 6 / 3, 0),
        # min(2.25, 1.8) + 1.5 + min(0.75, 1.2) = 4.05 and min(-0.25, -0.4) = -0.4
        (Grpo(), [1.5, -0.5], BOTH, -(4.05 / 3 - 0.4) / 2, 0.5),
        (DrGrpo(), [1.5, -0.5], BOTH, -(4.05 - 0.4) / (2 * 3), 0.5),
        # 2.25 + 1.5 + 0.75 = 4.5 and -0.25 where nothing is clipped.
        (Grpo(clip_low="off", clip_high="off"), [1.5, -0.5], BOTH, -(4.5 / 3 - 0.25) / 2, 0),
        (Grpo(clip_low="off"), [1.5, -0.5], BOTH, -(4.05 / 3 - 0.25) / 2, 0.25),
        # The upper bound is 1.28: 1.92 + 1.5 + 0.75 = 4.17.
        (Dapo(), [1.5, -0.5], BOTH, -(4.17 - 0.4) / 4, 0.5),
        (GrpoPositive(), [1.5, 0.0], BOTH, -(4.05 / 3) / 2, 0.25),
        (Wapo(), [1.5, 0.0], BOTH, -4.5 / (2 * 3), 0),
        (Wapo(clip_high=0.2), [1.5, 0.0], BOTH, -4.05 / (2 * 3), 0.25),
        # 1.2 + 1 + 0.5 of the one in D; a third of its tokens is clipped.
        (RaftPlus(), [1.0, 0.0], FIRST, -2.7 / 3, 1 / 3),
        (ReinforceRej(), [1.0, -1.0], BOTH, -(2.7 / 3 - 0.8) / 2, 0.5),
        # The geometric means of the ratios are 0.75^(1/3) = 0.9085603 and 0.5, and 0.9 bounds them.
        (Gspo(clip_low=0.1, clip_high=0.1), [1.5, -0.5], BOTH, -(1.5 * 0.9085603 - 0.45) / 2, 0.25),
        # Weights of 1.2, 1, 0.5 and 0.5: 1.5 x -4.7 and -0.5 x -0.25.
        (Cispo(clip_high=0.2), [1.5, -0.5], BOTH, (7.05 - 0.125) / 4, 0.25),
        (Cispo(clip_low=0.2), [1.5, -0.5], BOTH, (1.5 * (1.5 + 2 + 2.4) - 0.2) / 4, 0.5),
        # 1.5 at A > 0 and 0.5 at A < 0 are masked: 1.5 x (-2 - 3) is left, or 1.5 x (1 + 0.5) of the ratios.
        (Rec(), [1.5, -0.5], BOTH, 7.5 / 4, 0.5),
        (Rec(ratio=True), [1.5, -0.5], BOTH, -2.25 / 4, 0.5),
        # Past either bound: only the ratio of 1 is left.
        (Rec(sides="both"), [1.5, -0.5], BOTH, 3 / 4, 0.75),
        # 4 sigmoid(0.5) + 2 + 4 sigmoid(-0.5) = 6, and 4 / 1.05 sigmoid(1.05 x -0.5).
        (Sapo(), [1.5, -0.5], BOTH, -(1.5 * 6 / 3 - 0.5 * 4 / 1.05 / (1 + exp(0.525))) / 2, 0),
        # Logs of 0.4055, bounded to 0.4, 0 and -0.6931; and -0.6931 bounded to -0.4.
        (Gmpo(), [1.5, -0.5], BOTH, -(1.5 * exp((0.4 + log(0.5)) / 3) - 0.5 * exp(-0.4)) / 2, 0.5),
        # Whole ratios of 0.75 and 0.5: 0.75^2 e^(3 x 0.25) and 0.5^3 e^(2 x 0.5), of -9 and 0.25.
        (Vespo(), [1.5, -0.5], BOTH, (9 * 0.5625 * exp(0.75) - 0.25 * 0.125 * exp(1.0)) / 4, 0),
        # GSPO's values by their lengths, 3 and 1.
        (Luspo(clip_low=0.1, clip_high=0.1), [1.5, -0.5], BOTH, -(3 * 1.5 * 0.9085603 - 0.45) / 2, 0.25),
        # Probabilities have moved by 0.1226, 0, -0.0498 and -0.6065: the last is masked, then the first too.
        (Dppo(), [1.5, -0.5], BOTH, 1.5 * (1.5 + 2 + 1.5) / 4, 0.25),
        (Dppo(tv_high=0.1), [1.5, -0.5], BOTH, 1.5 * (2 + 1.5) / 4, 0.5),
        (Dppo(most=1.2, tv_low=0.7), [1.5, -0.5], BOTH, (1.5 * 4.7 - 0.25 * 0.5) / 4, 0),
        (MaxRl(), [1.5, -0.5], BOTH, 8.75 / 2, 0),
        (Pkpo(), [1.5, 0.5], BOTH, 9.25 / 2, 0),
        (Gdpo(), [1.5, -0.5], BOTH, -(4.05 / 3 - 0.4) / 2, 0.5),
        # The second has moved by log 2 = 0.69 nats a token from the old policy.
        (Rgra(sequence_mask=0.6), [1.5, -0.5], BOTH, 9 / 3 / 2, 0.25),
        (Rgra(sequence_mask=0.7), [1.5, -0.5], BOTH, (9 / 3 - 0.25) / 2, 0),
        (Grpo(sequence_mask=0.6), [1.5, -0.5], BOTH, -4.05 / 3 / 2, 0.5),
        (Psr(clip=0.2), [1.0, 0.0], BOTH, -2.7 / 4, 0.25),
        (Nsr(clip=0.2), [0.0, -1.0], BOTH, 0.8 / 4, 0.25),
    ],
    ids=str,
)
def test_loss_and_clip_fraction(objective, advantages, totals, loss, clipped):
    given = LogProbs(POLICY_BT, OLD_BT, None), torch.tensor(advantages), MASK_BT, totals
    assert float(objective(*given)) == pytest.approx(loss, abs=1e-6)
    assert float(objective.clip_fraction(*given)) == pytest.approx(clipped)


def test_delta_bounds_the_ratio_of_what_is_pushed_down():
    """PPO's surrogate leaves it unbounded: min(5 x -0.5, 1.2 x -0.5) = -2.5; with a bound of 3 it is -1.5, and flat."""
    policy_BT = torch.tensor([[-1.0]], requires_grad=True)
    given = LogProbs(policy_BT, policy_BT.detach() - log(5), None), torch.tensor([-0.5]), torch.ones(1, 1), Totals(1, 1)
    assert float(Grpo()(*given)) == pytest.approx(2.5) and Grpo().clip_fraction(*given) == 0
    bounded = Grpo(delta=3.0)
    loss = bounded(*given)
    loss.backward()
    assert float(loss) == pytest.approx(1.5) and bounded.clip_fraction(*given) == 1
    assert not policy_BT.grad.any()
    # verl's dual clip, max(min(rho A, clip(rho) A), c A) where A < 0, is the same.
    for ratio in (0.3, 0.9, 1.5, 2.9, 3.1, 7.0):
        given = LogProbs(torch.tensor([[log(ratio)]]), torch.zeros(1, 1), None), *given[1:]
        surrogate = min(ratio * -0.5, min(max(ratio, 0.8), 1.2) * -0.5)
        assert float(bounded(*given)) == pytest.approx(-max(surrogate, 3.0 * -0.5))


def test_a_delta_below_the_clip_is_refused():
    with pytest.raises(ValueError, match=r"delta=1.1: it bounds what clip_high=0.2 does not reach.*above 1.2"):
        Grpo(delta=1.1)


@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_pkpo_against_all_choices_of_k_answers(k):
    """Over all k of 5: the best with an answer less the best without it."""
    reward_PG = torch.tensor([[0.3, 1.0, 0.0, 1.0, 0.7], [0.0, 0.0, 0.1, 0.0, 0.0]], dtype=torch.float64)
    expected_PG = torch.zeros_like(reward_PG)
    for group, reward_G in enumerate(reward_PG.tolist()):
        for chosen in combinations(range(5), k):
            for member in chosen:
                others = max(reward_G[other] for other in chosen if other != member)
                expected_PG[group, member] += 5 / comb(5, k) * (max(reward_G[place] for place in chosen) - others)
    torch.testing.assert_close(pass_at_k_gain(reward_PG, k), expected_PG)


def test_pkpo_needs_k_answers_a_problem():
    with pytest.raises(ValueError, match="objective.k = 5: must be at most rollout.group_size = 4"):
        Pkpo(k=5).check(4)
    Pkpo(k=4).check(4)


def test_gdpo_standardises_each_part_of_the_reward():
    """Right answers and form weigh the same, whatever their sizes: GRPO would see 1 and 0.1."""
    correct_PG, form_PG = torch.tensor([[1.0, 0.0, 0.0, 0.0]]).double(), torch.tensor([[0.0, 0.1, 0.1, 0.0]]).double()
    outcome = Outcome(
        correct_PG + form_PG, correct_PG > 0, torch.ones(1, 4), 1, parts_PG={"correct": correct_PG, "form": form_PG}
    )
    # 1, 0, 0, 0: mean 1/4, std 1/2. 0, 1, 1, 0 tenths: mean 1/20, std 0.057735.
    right, wrong, formed = 0.75 / 0.5001, -0.25 / 0.5001, 0.05 / (0.0577350 + 1e-4)
    total = torch.tensor([[right - formed, wrong + formed, wrong + formed, wrong - formed]], dtype=torch.float64)
    torch.testing.assert_close(Gdpo().advantage(outcome), total / (total.std() + 1e-4), rtol=0, atol=1e-6)


def test_an_answer_that_was_cut_off_is_not_learned_with_the_filter(outcome):
    ended_PG = torch.ones(3, 4, dtype=torch.bool)
    ended_PG[0, 0] = False
    outcome = replace(outcome, ended_PG=ended_PG)
    filtered, plain = Dapo(overlong_filter=True, overlong_share=0.0), Dapo(overlong_share=0.0)
    assert torch.equal(filtered.selected(outcome), ended_PG) and plain.selected(outcome).all()
    assert torch.equal(filtered.advantage(outcome), plain.advantage(outcome) * ended_PG)


def test_the_weight_of_cispo_has_no_gradient():
    policy_BT = POLICY_BT.clone().requires_grad_()
    Cispo(clip_high=0.2)(LogProbs(policy_BT, OLD_BT, None), torch.tensor([1.5, -0.5]), MASK_BT, BOTH).backward()
    expected_BT = torch.tensor([[-1.5 * 1.2, -1.5 * 1.0, -1.5 * 0.5], [0.5 * 0.5, 0.0, 0.0]]) / 4
    torch.testing.assert_close(policy_BT.grad, expected_BT)


# The outcome of conftest.py: rewards of 1.1, 1.0, 0.1, 0.0 of which the first two are right; all wrong; all right.
CENTRED = [[0.55, 0.45, -0.45, -0.55], [0.05, -0.05, -0.05, 0.05], [0.0] * 4]
# Standard deviations 0.5802298 and 0.0577350, to which 1e-4 is added.
STANDARDISED = [[0.947737, 0.775421, -0.775421, -0.947737], [0.864528, -0.864528, -0.864528, 0.864528], [0.0] * 4]
REWARDS = torch.tensor([[1.1, 1.0, 0.1, 0.0], [0.1, 0.0, 0.0, 0.1], [1.1] * 4], dtype=torch.float64)
RIGHT = [[1.0, 1.0, 0.0, 0.0], [0.0] * 4, [1.0] * 4]
SIGNED = [[1.0, 1.0, -1.0, -1.0], [-1.0] * 4, [1.0] * 4]


def times(factor, rows):
    return [[factor * value for value in row] for row in rows]


def above_0(rows):
    return [[max(value, 0.0) for value in row] for row in rows]


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (Rgra(), STANDARDISED),
        (Rgra(std=False), CENTRED),
        (Grpo(), STANDARDISED),
        (Grpo(std=False), CENTRED),
        (GrpoPositive(), above_0(STANDARDISED)),
        (GrpoPositive(std=False), above_0(CENTRED)),
        (Reinforce(), [[1.1, 1.0, 0.1, 0.0], [0.1, 0.0, 0.0, 0.1], [1.1] * 4]),
        (Reinforce(reward="correct"), RIGHT),
        (Reinforce(reward="signed"), SIGNED),
        (Raft(), [[1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]),
        (Raft(ties="all"), [[1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 1.0], [1.0] * 4]),
        (Raft(all_wrong="drop"), [[1.0, 0.0, 0.0, 0.0], [0.0] * 4, [1.0, 0.0, 0.0, 0.0]]),
        (Sft(), [[1.0] * 4] * 3),
        (Rloo(), times(4 / 3, CENTRED)),
        (DrGrpo(), CENTRED),
        (Dapo(overlong_share=0.0), STANDARDISED),
        # Penalties of -1, 0, -0.5 and 0 in the first group, -1 throughout the last: 0.1, 1.0, -0.4, 0.0 with the mean
        # 0.175 and the standard deviation 0.5909033.
        (Dapo(), [[-0.126903, 1.395932, -0.972922, -0.296107], STANDARDISED[1], [0.0] * 4]),
        (Gspo(), STANDARDISED),
        (Cispo(), STANDARDISED),
        # One group of three says nothing.
        (Gpg(), times(3 / 2, CENTRED)),
        (Gpg(alpha=False), CENTRED),
        (Gpg(std=True), times(3 / 2, STANDARDISED)),
        (RaftPlus(), [[1.0, 0.0, 0.0, 0.0], [0.0] * 4, [1.0] * 4]),
        (RaftPlus(all_wrong="train"), [[1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 1.0], [1.0] * 4]),
        (ReinforceRej(), [[1.0, 1.0, -1.0, -1.0], [0.0] * 4, [0.0] * 4]),
        (Rec(), CENTRED),
        (Rec(std=True), STANDARDISED),
        (Nsr(), [[0.0, 0.0, -1.0, -1.0], [-1.0] * 4, [0.0] * 4]),
        (Nsr(right_weight=0.1), [[0.1, 0.1, -1.0, -1.0], [-1.0] * 4, [0.1] * 4]),
        (Psr(), RIGHT),
        (Wapo(), above_0(CENTRED)),
        (Rgra(std="batch"), times(1 / (REWARDS.std().item() + 1e-4), CENTRED)),
        (Grpo(std="batch"), times(1 / (REWARDS.std().item() + 1e-4), CENTRED)),
        (Sapo(), STANDARDISED),
        (Gmpo(), STANDARDISED),
        (Vespo(), STANDARDISED),
        (Luspo(), STANDARDISED),
        (Dppo(), STANDARDISED),
        # 2 of 4 right: (1 - 1/2) / (1/2).
        (MaxRl(), [[1.0, 1.0, -1.0, -1.0], [0.0] * 4, [0.0] * 4]),
        # Over the 6 pairs, by how much each is the better: 1.1 by 0.1, 1.0 and 1.1, and so on.
        (Pkpo(k=2), times(4 / 6, [[2.2, 1.9, 0.1, 0.0], [0.2, 0.0, 0.0, 0.2], [0.0] * 4])),
        # The reward is its only part; the mean over the batch is 0.
        (Gdpo(), times(1 / (torch.tensor(STANDARDISED).double().std().item() + 1e-4), STANDARDISED)),
    ],
    ids=str,
)
def test_advantage(objective, expected, outcome):
    expected_PG = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(objective.advantage(outcome), expected_PG, rtol=0, atol=1e-6)
    # A group without any signal gets exactly 0 of whatever is relative to the group.
    assert (objective.advantage(outcome)[expected_PG == 0] == 0).all()


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (Rgra(), [[1] * 4, [1] * 4, [1] * 4]),
        (GrpoPositive(), [[1] * 4, [1] * 4, [1] * 4]),
        (Raft(), [[1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]),
        (Raft(all_wrong="drop", ties="all"), [[1, 0, 0, 0], [0] * 4, [1] * 4]),
        (RaftPlus(), [[1, 0, 0, 0], [0] * 4, [1] * 4]),
        (ReinforceRej(), [[1] * 4, [0] * 4, [0] * 4]),
    ],
    ids=str,
)
def test_what_the_loss_is_a_mean_over(objective, expected, outcome):
    assert objective.selected(outcome).tolist() == [[bool(value) for value in row] for row in expected]


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (Rgra, {"clip_high": 0.2}),
        (GrpoPositive, {"clip_low": 0.2}),
        (Reinforce, {"std": True}),
        (Reinforce, {"reward": "format"}),
        (Raft, {"kl_coef": 0.1}),
        (Raft, {"ties": "last"}),
        (Sft, {"reduce": "per-token"}),
        (Rloo, {"std": False}),
        (DrGrpo, {"reduce": "per-sequence"}),
        (Dapo, {"kl_coef": 0.1}),
        (Dapo, {"overlong_share": 1.0}),
        (Dapo, {"redraws": -1}),
        (Gspo, {"reduce": "per-token"}),
        (Cispo, {"clip_high": "none"}),
        (Gpg, {"clip_high": 0.2}),
        (RaftPlus, {"ties": "first"}),
        (ReinforceRej, {"reward": "task"}),
        (Rec, {"kl_coef": 0.1}),
        (Nsr, {"right_weight": -0.1}),
        (Psr, {"right_weight": 0.1}),
        (Wapo, {"clip_low": 0.1}),
        (Rgra, {"delta": 3.0}),
        (Rgra, {"std": "group"}),
        (Sapo, {"clip_high": 0.2}),
        (Sapo, {"tau_right": 0.0}),
        (Gmpo, {"clip_high": 0.2}),
        (Dppo, {"tv_high": 0.0}),
        (Luspo, {"reduce": "per-token"}),
        (Pkpo, {"k": 1}),
        (MaxRl, {"std": True}),
        (Psr, {"clip": 0.0}),
        (Nsr, {"count": "half"}),
        (ClipCov, {"cov_low": 5.0}),
        (ClipCov, {"share": 1.0}),
        (KlCov, {"penalty": 0.0}),
        (Rgra, {"top_entropy": 0.0}),
        (Grpo, {"entropy_target": 0.0}),
        (Rloo, {"entropy_coef": 0.1}),
    ],
)
def test_what_does_not_apply_cannot_be_set(kind, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        kind(**wrong)
