"""Every kind by hand: its loss with ratios away from 1, and what it makes of rewards."""

import pytest
import torch

from paring.maths.objective import LogProbs, Totals
from paring.maths.objectives import (
    Cispo,
    Dapo,
    DrGrpo,
    Gpg,
    Grpo,
    GrpoPositive,
    Gspo,
    Nsr,
    Psr,
    Raft,
    RaftPlus,
    Rec,
    Reinforce,
    ReinforceRej,
    Rgra,
    Rloo,
    Sft,
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
    ],
    ids=str,
)
def test_loss_and_clip_fraction(objective, advantages, totals, loss, clipped):
    given = LogProbs(POLICY_BT, OLD_BT, None), torch.tensor(advantages), MASK_BT, totals
    assert float(objective(*given)) == pytest.approx(loss, abs=1e-6)
    assert float(objective.clip_fraction(*given)) == pytest.approx(clipped)


def test_the_weight_of_cispo_has_no_gradient():
    policy_BT = POLICY_BT.clone().requires_grad_()
    Cispo(clip_high=0.2)(LogProbs(policy_BT, OLD_BT, None), torch.tensor([1.5, -0.5]), MASK_BT, BOTH).backward()
    expected_BT = torch.tensor([[-1.5 * 1.2, -1.5 * 1.0, -1.5 * 0.5], [0.5 * 0.5, 0.0, 0.0]]) / 4
    torch.testing.assert_close(policy_BT.grad, expected_BT)


# The outcome of conftest.py: rewards of 1.1, 1.0, 0.1, 0.0 of which the first two are right; all wrong; all right.
CENTRED = [[0.55, 0.45, -0.45, -0.55], [0.05, -0.05, -0.05, 0.05], [0.0] * 4]
# Standard deviations 0.5802298 and 0.0577350, to which 1e-4 is added.
STANDARDISED = [[0.947737, 0.775421, -0.775421, -0.947737], [0.864528, -0.864528, -0.864528, 0.864528], [0.0] * 4]
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
    ],
)
def test_what_does_not_apply_cannot_be_set(kind, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        kind(**wrong)
