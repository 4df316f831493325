"""What the objectives have in common: at one update a rollout, and some at any."""

import pytest
import torch

from paring.maths.advantages import Outcome
from paring.maths.objective import LogProbs, Totals
from paring.maths.objectives import (
    Cispo,
    Dapo,
    Dppo,
    DrGrpo,
    Gmpo,
    Gpg,
    Grpo,
    GrpoPositive,
    Gspo,
    Luspo,
    MaxRl,
    Nsr,
    Psr,
    Raft,
    RaftPlus,
    Rec,
    Reinforce,
    ReinforceRej,
    Rgra,
    Rloo,
    Sapo,
    Vespo,
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
    "SAPO is GRPO": (Sapo(), 1, Grpo()),
    "GMPO is GRPO": (Gmpo(), 1, Grpo()),
    "VESPO is GRPO by token": (Vespo(), 1, Grpo(reduce="per-token")),
    "DPPO is GRPO by token": (Dppo(), 1, Grpo(reduce="per-token")),
    "LUSPO is GRPO summed": (Luspo(), 1, Grpo(reduce="sum")),
    "the clip of PSR and NSR cannot act": (Nsr(clip=0.2, right_weight=0.5), 1, Nsr(right_weight=0.5)),
    "dual clip and mask cannot act": (
        Grpo(delta=3.0, sequence_mask=0.5, kl_coef=0.1),
        1,
        Grpo(kl_coef=0.1),
    ),
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
    "a delta and a mask that nothing reaches are none": (Grpo(delta=1e6, sequence_mask=1e6), Grpo()),
    "RGRA's too": (Rgra(sequence_mask=1e6), Rgra()),
    "DPPO without a mask is CISPO with its weight": (Dppo(tv_low=1.5, tv_high=1.5), Cispo(clip_high=19.0)),
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


def test_luspo_is_gspo_times_the_length():
    """The length of each completion, in its gradient."""
    outcome, _, _ = rollout()
    bounds = {"clip_low": 0.1, "clip_high": 0.1}
    long_BT, short_BT = gradient(Luspo(**bounds), on_policy=False), gradient(Gspo(**bounds), on_policy=False)
    torch.testing.assert_close(long_BT, short_BT * outcome.length_PG.flatten()[:, None])


def test_a_half_that_counts_what_it_trains_on_is_the_mean_over_that():
    outcome, *_ = rollout()
    tokens, right = int(outcome.length_PG.sum()), int(outcome.length_PG[outcome.correct_PG].sum())
    torch.testing.assert_close(gradient(Psr(count="trained")), gradient(Psr()) * tokens / right)


def test_maxrl_is_rloo_by_the_group_s_success():
    outcome, *_ = rollout()
    correct_PG = outcome.correct_PG.double()
    expected_PG = correct_PG / correct_PG.mean(-1, keepdim=True) - 1
    torch.testing.assert_close(MaxRl().advantage(outcome), expected_PG)


def test_a_weighted_kl_is_the_kl_whatever_policy_has_sampled():
    """Over all answers of a policy of five: E_old[rho k3] and its gradient are those of KL(pi || ref); unweighted, the
    gradient of k3 is another."""
    generator = torch.Generator().manual_seed(3)
    logit_V, old_V, reference_V = torch.randn(3, 5, dtype=torch.float64, generator=generator)
    logit_V.requires_grad_()
    policy_V, old_V, reference_V = (one.log_softmax(-1) for one in (logit_V, old_V, reference_V))
    exact = (policy_V.exp() * (policy_V - reference_V)).sum()
    (slope_V,) = torch.autograd.grad(exact, logit_V, retain_graph=True)

    def expected(objective):
        """Each answer as often as the old policy gives it."""
        loss = torch.zeros((), dtype=torch.float64)
        for token in range(5):
            logp = LogProbs(*(one[token].view(1, 1) for one in (policy_V, old_V, reference_V)))
            given = torch.zeros(1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64), Totals(1, 1)
            loss = loss + old_V[token].exp() * objective(logp, *given)
        return loss, torch.autograd.grad(loss, logit_V, retain_graph=True)[0]

    loss, gradient_V = expected(Rgra(kl_coef=1.0, kl_weighted=True))
    torch.testing.assert_close(loss, exact)
    torch.testing.assert_close(gradient_V, slope_V)
    assert (expected(Rgra(kl_coef=1.0))[1] - slope_V).abs().max() > 1e-2
