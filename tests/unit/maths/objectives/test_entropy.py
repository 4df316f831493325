"""The entropy bonus and its target, top-entropy tokens, Clip-Cov and KL-Cov, by hand."""

from dataclasses import replace
from math import ceil, log

import pytest
import torch

from paring.maths.objective import LogProbs, Totals, steered
from paring.maths.objectives import ClipCov, Dapo, Grpo, KlCov, Rgra
from paring.maths.selection import TokensOfBatch, highest, some_of

# Two completions of 3 tokens and of 1, with the ratios 1.5, 1, 0.5 and 0.5.
MASK_BT = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
POLICY_BT = torch.tensor([[-1.0, -2.0, -3.0], [-0.5, 0.0, 0.0]])
OLD_BT = POLICY_BT - torch.tensor([[1.5, 1.0, 0.5], [0.5, 1.0, 1.0]]).log()
ENTROPY_BT = torch.tensor([[0.1, 0.8, 0.3], [0.5, 0.0, 0.0]])
TOTALS = Totals(sequences=2, tokens=4, longest=3)
ADVANTAGE_B = torch.tensor([1.5, -0.5])
FLAT = MASK_BT.bool()
TOKENS = TokensOfBatch(POLICY_BT[FLAT], OLD_BT[FLAT], torch.tensor([1.5, 1.5, 1.5, -0.5]), ENTROPY_BT[FLAT])


def loss_of(objective, picked=None):
    picked_BT = None if picked is None else torch.zeros_like(FLAT).masked_scatter(FLAT, picked)
    logp = LogProbs(POLICY_BT, OLD_BT, None, entropy_BT=ENTROPY_BT, picked_BT=picked_BT)
    return float(objective(logp, ADVANTAGE_B, MASK_BT, TOTALS))


def test_the_bonus_is_the_entropy_times_its_weight():
    # 0.1 + 0.8 + 0.3 over 3 tokens, and 0.5 over 1; then over 4 tokens.
    assert loss_of(Rgra(entropy_coef=0.2)) == pytest.approx(loss_of(Rgra()) - 0.2 * (1.2 / 3 + 0.5) / 2)
    assert loss_of(Dapo(entropy_coef=0.2)) == pytest.approx(loss_of(Dapo()) - 0.2 * 1.7 / 4)


def test_top_entropy_learns_from_the_highest_alone():
    # Half of four tokens: those of 0.8 and 0.5, log pi = -2 of A = 1.5 and -0.5 of A = -0.5.
    objective = Rgra(top_entropy=0.5)
    assert objective.picked(TOKENS).tolist() == [False, True, False, True]
    assert loss_of(objective, objective.picked(TOKENS)) == pytest.approx(-(1.5 * -2 / 3 + 0.25) / 2)
    # The KL term and the bonus stay on all tokens.
    both = replace(objective, entropy_coef=0.2)
    assert loss_of(both, both.picked(TOKENS)) == pytest.approx(-(1.5 * -2 / 3 + 0.25) / 2 - 0.2 * (1.2 / 3 + 0.5) / 2)


@pytest.mark.parametrize("objective", [Rgra(), Grpo(), Dapo()], ids=str)
def test_what_is_off_asks_for_nothing(objective):
    assert not objective.surveys and not objective.keeps_all and objective.entropy_target == "off"
    with_bonus = objective.with_entropy_coef(0.1)
    assert with_bonus.keeps_all and not objective.entropy_coef and with_bonus.with_entropy_coef(0.0) == objective


def test_the_weight_follows_the_target():
    """Below the target it grows, above it is off and shrinks, never below 0."""
    assert steered(0.0, 0.1, 0.2, 0.005) == (0.0, 0.005)
    assert steered(0.01, 0.1, 0.2, 0.005) == (0.01, pytest.approx(0.015))
    assert steered(0.01, 0.3, 0.2, 0.005) == (0.0, 0.005)
    assert steered(0.002, 0.3, 0.2, 0.005) == (0.0, 0.0)
    assert steered(0.01, 0.2, 0.2, 0.005) == (0.01, 0.01)


def test_the_covariance_of_each_token():
    # Means: log pi -1.625, A 1.0.
    expected = [0.625 * 0.5, -0.375 * 0.5, -1.375 * 0.5, 1.125 * -1.5]
    assert TOKENS.covariance_M.tolist() == pytest.approx(expected)


def test_clip_cov_draws_within_its_bounds_what_the_ratio_s_clip_leaves():
    # The first token is clipped already (1.5 > 1.2), the last is too (0.5 < 0.8 with A < 0).
    objective = ClipCov(share=0.9, cov_low=-1.0, cov_high=5.0)
    assert objective.picked(TOKENS).tolist() == [False, True, True, False]
    assert ClipCov(share=0.9, cov_low=-0.5, cov_high=5.0).picked(TOKENS).tolist() == [False, True, False, False]
    assert not ClipCov().picked(TOKENS).any()
    # min[rho A, clip(rho) A]: 1.2 x 1.5 and -0.5 x 0.8; the two in the middle gain nothing.
    assert loss_of(objective, objective.picked(TOKENS)) == pytest.approx(-(1.8 - 0.4) / 4)
    # The least share draws one token; the draw is by torch's generator.
    one = ClipCov(share=1e-9, cov_low=-1.0)
    torch.manual_seed(0)
    drawn = [one.picked(TOKENS).nonzero().item() for _ in range(20)]
    assert set(drawn) == {1, 2}


def test_kl_cov_penalises_the_highest():
    # Of four tokens a quarter: the first, of covariance 0.3125, whose log ratio is log 1.5.
    objective = KlCov(share=0.25, penalty=0.7)
    assert objective.picked(TOKENS).tolist() == [True, False, False, False]
    ratios = 1.5 * (1.5 + 1.0 + 0.5) - 0.5 * 0.5
    assert loss_of(objective, objective.picked(TOKENS)) == pytest.approx(-(ratios - 0.7 * log(1.5)) / 4)


def test_without_a_share_they_are_their_kin():
    assert not ClipCov(share=0.0).surveys and not KlCov(share=0.0).keeps_all
    assert loss_of(ClipCov(share=0.0)) == loss_of(Grpo(reduce="per-token"))
    assert loss_of(KlCov(share=0.0)) == loss_of(Grpo(clip_low="off", clip_high="off", reduce="per-token"))


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 1.0])
def test_the_highest_share(share):
    value_M = torch.rand(37, generator=torch.Generator().manual_seed(2))
    count = ceil(share * 37)
    assert highest(value_M, share).tolist() == [
        value in sorted(value_M.tolist())[-count:] for value in value_M.tolist()
    ]
    assert highest(torch.ones(5), share).all() and not len(highest(value_M[:0], share))


def test_values_that_rounding_alone_tells_apart_are_picked_together():
    value_M = torch.tensor([2.0, 1.0, 0.5, 1.00001, 0.99999])
    assert all(highest(value_M, share).tolist() == [True, True, False, True, True] for share in (0.4, 0.6, 0.8))
    assert highest(value_M, 0.2).tolist() == [True, False, False, False, False]


def test_fewer_candidates_than_asked_are_all_drawn():
    candidate_M = torch.tensor([True, False, True])
    assert some_of(candidate_M, 5).tolist() == candidate_M.tolist() and not some_of(candidate_M, 0).any()
