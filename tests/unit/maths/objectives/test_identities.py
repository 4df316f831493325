"""What the objectives have in common: at one update a rollout, and some at any."""

import pytest
import torch

from paring.maths.advantages import Outcome
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
    Wapo,
)

P, G, T = 4, 5, 9


def rollout(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    length_PG = torch.randint(1, T + 1, (P, G), generator=generator)
    correct_PG = torch.rand(P, G, generator=generator) < 0.5
    correct_PG[0], correct_PG[1] = True, torch.arange(G) == 2  # all right, and one right of five
    formed_PG = torch.rand(P, G, generator=generator) < 0.5
    formed_PG[0] = True  # no signal at all
    reward_PG = correct_PG.double() + 0.1 * formed_PG
    logp_BT = -3 * torch.rand(3, P * G, T, dtype=torch.float64, generator=generator)
    mask_BT = (torch.arange(T) < length_PG.flatten()[:, None]).double()
    return Outcome(reward_PG, correct_PG, length_PG, longest=T), logp_BT * mask_BT, mask_BT


def gradient(objective, *, on_policy: bool = True, problems: slice = slice(None)):
    """d loss / d log pi: [B, T], of the objective's own advantages, means and all."""
    outcome, (policy_BT, old_BT, reference_BT), mask_BT = rollout()
    outcome = Outcome(*(value[problems] for value in (outcome.reward_PG, outcome.correct_PG, outcome.length_PG)), T)
    rows = torch.arange(P * G).view(P, G)[problems].flatten()
    selected_PG = objective.selected(outcome)
    totals = Totals(int(selected_PG.sum()), int(outcome.length_PG[selected_PG].sum()), T)
    leaf_BT = policy_BT[rows].clone().requires_grad_()
    logp = LogProbs(leaf_BT, (policy_BT if on_policy else old_BT)[rows], reference_BT[rows])
    objective(logp, objective.advantage(outcome).flatten(), mask_BT[rows], totals).backward()
    assert leaf_BT.grad.any()
    return leaf_BT.grad


ON_POLICY = {
    "GRPO is RGRA": (Grpo(kl_coef=0.1), 1, Rgra(kl_coef=0.1)),
    "Dr. GRPO is RLOO but for (G - 1) / G and the length": (DrGrpo(), (G - 1) / G / T, Rloo()),
    "RLOO is RGRA without std, times G / (G - 1)": (Rloo(reduce="per-sequence"), G / (G - 1), Rgra(std=False)),
    "GSPO is GRPO": (Gspo(), 1, Grpo()),
    "CISPO is GRPO by token": (Cispo(), 1, Grpo(reduce="per-token")),
    "DAPO is RGRA by token": (Dapo(overlong_share=0.0), 1, Rgra(reduce="per-token")),
    "REC without sampling is REINFORCE with the group's mean": (Rec(), 1, Rgra(std=False, reduce="per-token")),
    "REC with sampling too": (Rec(ratio=True), 1, Rgra(std=False, reduce="per-token")),
    "NSR with full weight is REINFORCE on signs": (
        Nsr(right_weight=1.0),
        1,
        Reinforce(reward="signed", reduce="per-token"),
    ),
    "PSR is REINFORCE on right and wrong": (Psr(), 1, Reinforce(reward="correct", reduce="per-token")),
    "RAFT++ is RAFT": (RaftPlus(), 1, Raft(ties="all", all_wrong="drop", reduce="per-sequence")),
    "WAPO is GRPO's positive half without std and length": (Wapo(), 1, GrpoPositive(std=False, reduce="constant")),
    "GPG is RGRA without std": (Gpg(alpha=False), 1, Rgra(std=False)),
}


@pytest.mark.parametrize(("one", "factor", "other"), ON_POLICY.values(), ids=list(ON_POLICY))
def test_on_policy(one, factor, other):
    torch.testing.assert_close(gradient(one), factor * gradient(other))


AT_ANY = {
    "DAPO is GRPO by token with another bound": (Dapo(overlong_share=0.0), Grpo(clip_high=0.28, reduce="per-token")),
    "the mask with the ratio is PPO's clip": (Rec(ratio=True), Grpo(std=False, reduce="per-token")),
    "Dr. GRPO is GRPO without std, over a constant": (DrGrpo(), Grpo(std=False, reduce="constant")),
    "WAPO is GRPO's positive half with a high bound": (
        Wapo(),
        GrpoPositive(std=False, clip_high=9.0, reduce="constant"),
    ),
    "bounds that nothing reaches are none": (
        Grpo(clip_low=1.0, clip_high=1e6),
        Grpo(clip_low="off", clip_high="off"),
    ),
}


@pytest.mark.parametrize(("one", "other"), AT_ANY.values(), ids=list(AT_ANY))
def test_off_policy(one, other):
    torch.testing.assert_close(gradient(one, on_policy=False), gradient(other, on_policy=False))


@pytest.mark.parametrize("pair", [(Grpo(), Rgra()), (Gspo(), Grpo()), (Cispo(), Dapo(overlong_share=0.0))])
def test_what_is_one_on_policy_differs_off_it(pair):
    one, other = (gradient(objective, on_policy=False) for objective in pair)
    assert (one - other).abs().max() > 1e-3


def test_the_positive_half_is_rgra_on_the_positive_part():
    outcome, *_ = rollout()
    kept = (Rgra().advantage(outcome) > 0).flatten()
    half_BT, whole_BT = gradient(GrpoPositive()), gradient(Rgra())
    assert torch.equal(half_BT[kept], whole_BT[kept]) and not half_BT[~kept].any() and whole_BT[~kept].any()


def test_psr_and_nsr_are_the_halves_of_reinforce_on_signs():
    whole = gradient(Reinforce(reward="signed", reduce="per-token"))
    torch.testing.assert_close(gradient(Psr()) + gradient(Nsr()), whole)


def test_alpha_of_gpg_is_the_mean_over_the_groups_that_say_something():
    torch.testing.assert_close(gradient(Gpg())[G:], gradient(Gpg(alpha=False), problems=slice(1, None)))


def test_reinforce_rej_is_reinforce_on_the_groups_that_are_mixed():
    outcome, *_ = rollout()
    mixed = [bool(0 < row.sum() < G) for row in outcome.correct_PG]
    assert mixed == [False, True, True, True]
    expected = gradient(Reinforce(reward="signed"), problems=slice(1, None))
    torch.testing.assert_close(gradient(ReinforceRej())[G:], expected)
