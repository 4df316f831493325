"""RGRA and GRPO by hand, and what they have in common."""

import pytest
import torch

from paring.maths.kl import KL_ESTIMATORS
from paring.maths.objective import REDUCERS, LogProbs, Totals
from paring.maths.objectives import Grpo, Rgra

# Two completions of 3 tokens and of 1.
MASK_BT = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
TOTALS = Totals(sequences=2, tokens=4)
ADVANTAGE_B = torch.tensor([1.5, -0.5])
POLICY_BT = torch.tensor([[-1.0, -2.0, -3.0], [-0.5, 0.0, 0.0]])
REFERENCE_BT = torch.tensor([[-1.5, -2.0, -2.0], [0.0, 0.0, 0.0]])
# Ratios 1.5, 1, 0.5 of the first completion, 0.5 of the second.
OLD_BT = POLICY_BT - torch.tensor([[1.5, 1.0, 0.5], [0.5, 1.0, 1.0]]).log()


@pytest.mark.parametrize(
    ("reduce", "kl_coef", "kl", "loss"),
    [
        # -(1.5 * -6 / 3 + -0.5 * -0.5) / 2
        ("per-sequence", 0.0, "k3", 1.375),
        # -(1.5 * -6 + -0.5 * -0.5) / 4
        ("per-token", 0.0, "k3", 2.1875),
        # KL adds 0.1 * (sum of the first / 3 + the second) / 2, or 0.1 * (their sum) / 4.
        ("per-sequence", 0.1, "k1", 1.375 + 0.1 * (-0.5 / 3 - 0.5) / 2),
        ("per-sequence", 0.1, "k2", 1.375 + 0.1 * (0.625 / 3 + 0.125) / 2),
        ("per-sequence", 0.1, "k3", 1.375 + 0.1 * (0.82481249 / 3 + 0.14872127) / 2),
        ("per-token", 0.1, "k3", 2.1875 + 0.1 * (0.82481249 + 0.14872127) / 4),
    ],
)
def test_rgra_by_hand(reduce, kl_coef, kl, loss):
    found = Rgra(kl_coef=kl_coef, kl=kl, reduce=reduce)(
        LogProbs(POLICY_BT, POLICY_BT, REFERENCE_BT), ADVANTAGE_B, MASK_BT, TOTALS
    )
    assert float(found) == pytest.approx(loss, abs=1e-6)


@pytest.mark.parametrize(
    ("reduce", "kl_coef", "clip_high", "loss"),
    [
        # min(2.25, 1.8) + 1.5 + min(0.75, 1.2) = 4.05 and min(-0.25, -0.4) = -0.4
        ("per-sequence", 0.0, 0.2, -(4.05 / 3 - 0.4) / 2),
        ("per-token", 0.0, 0.2, -(4.05 - 0.4) / 4),
        # A higher upper bound lets the ratio of 1.5 through: 2.25 + 1.5 + 0.75.
        ("per-token", 0.0, 0.6, -(4.5 - 0.4) / 4),
        ("per-sequence", 0.1, 0.2, -(4.05 / 3 - 0.4) / 2 + 0.1 * (0.82481249 / 3 + 0.14872127) / 2),
    ],
)
def test_grpo_by_hand(reduce, kl_coef, clip_high, loss):
    found = Grpo(kl_coef=kl_coef, clip_high=clip_high, reduce=reduce)(
        LogProbs(POLICY_BT, OLD_BT, REFERENCE_BT), ADVANTAGE_B, MASK_BT, TOTALS
    )
    assert float(found) == pytest.approx(loss, abs=1e-6)


@pytest.mark.parametrize("reduce", REDUCERS)
@pytest.mark.parametrize(("kl_coef", "kl"), [(0.0, "k3"), (0.3, "k1"), (0.3, "k2"), (0.3, "k3")])
def test_grpo_on_policy_has_exactly_the_gradient_of_rgra(kl_coef, kl, reduce):
    generator = torch.Generator().manual_seed(2)
    policy_BT, reference_BT = -torch.rand(2, 4, 9, generator=generator) * 5
    advantage_B, mask_BT = torch.randn(4, generator=generator), torch.rand(4, 9, generator=generator).round()

    def gradient(objective):
        leaf_BT = policy_BT.clone().requires_grad_()
        totals = Totals(4, int(mask_BT.sum()))
        objective(LogProbs(leaf_BT, policy_BT, reference_BT), advantage_B, mask_BT, totals).backward()
        return leaf_BT.grad

    shared = dict(kl_coef=kl_coef, kl=kl, reduce=reduce)
    rgra_BT, grpo_BT = gradient(Rgra(**shared)), gradient(Grpo(**shared))
    assert rgra_BT.abs().max() > 0
    assert torch.equal(rgra_BT, grpo_BT)


@pytest.mark.parametrize(
    ("ratio", "advantage", "clipped"),
    [
        (1.3, 1.0, True),  # already likelier than the bound and wanted likelier still
        (0.7, -1.0, True),
        (1.3, -1.0, False),  # on the wrong side: must be able to come back
        (0.7, 1.0, False),
        (1.1, 1.0, False),
        (0.9, -1.0, False),
    ],
)
def test_clip_stops_only_what_runs_away(ratio, advantage, clipped):
    policy_BT = torch.tensor([[-1.0]], requires_grad=True)
    logp = LogProbs(policy_BT, torch.tensor([[-1.0]]) - torch.tensor(ratio).log(), None)
    given = logp, torch.tensor([advantage]), torch.ones(1, 1), Totals(1, 1)
    Grpo()(*given).backward()
    # d/d log pi of -rho A is -rho A.
    assert float(policy_BT.grad) == pytest.approx(0.0 if clipped else -ratio * advantage)
    assert float(Grpo().clip_fraction(*given)) == float(clipped)


def test_clip_fraction_by_hand():
    logp = LogProbs(POLICY_BT, OLD_BT, None)
    # Clipped of four tokens: the ratio 1.5 with advantage 1.5 and the ratio 0.5 with advantage -0.5.
    assert Grpo().clip_fraction(logp, ADVANTAGE_B, MASK_BT, TOTALS) == 0.5
    assert Grpo(clip_high=0.6).clip_fraction(logp, ADVANTAGE_B, MASK_BT, TOTALS) == 0.25
    assert Rgra().clip_fraction(logp, ADVANTAGE_B, MASK_BT, TOTALS) == 0


@pytest.mark.parametrize("kind", [Rgra, Grpo])
@pytest.mark.parametrize("kl_coef", [-0.1, float("nan"), float("inf")])
def test_kl_coef_must_be_a_number_from_0(kind, kl_coef):
    with pytest.raises(ValueError, match="kl_coef"):
        kind(kl_coef=kl_coef)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (Rgra, {"kl": "k4"}),
        (Rgra, {"reduce": "mean"}),
        (Rgra, {"clip_low": 0.2}),
        (Grpo, {"clip_low": 0.0}),
        (Grpo, {"clip_low": 1.5}),
        (Grpo, {"clip_high": 0.0}),
    ],
)
def test_settings_that_mean_nothing_are_refused(kind, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        kind(**wrong)


def test_a_kl_without_reference_is_our_bug():
    with pytest.raises(AssertionError, match="reference"):
        Rgra(kl_coef=0.1)(LogProbs(POLICY_BT, POLICY_BT, None), ADVANTAGE_B, MASK_BT, TOTALS)


def test_every_estimator_has_a_setting():
    assert [Rgra(kl=name).kl for name in KL_ESTIMATORS] == list(KL_ESTIMATORS)
