"""Weights for answers of another policy: by hand, and by enumerating all answers of a tiny vocabulary."""

import math
from itertools import product

import pytest
import torch

from paring.maths.mismatch import Correction
from paring.maths.objective import LogProbs, Totals
from paring.maths.objectives import Gspo, Nsr, Rec, Reinforce, Rgra

NO_BOUND = 1e30
LOG_RATIO_BT = torch.tensor([[2.0, 0.5, 7.0], [0.4, 0.9, 1.0], [3.0, 2.0, 99.0]], dtype=torch.float64).log()
MASK_BT = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [1.0, 1.0, 0.0]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("correction", "expected"),
    [
        (Correction("tis", 1.5), [[1.5, 0.5], [0.4, 0.9, 1.0], [1.5, 1.5]]),
        (Correction("sequence-tis", 1.5), [[1.0, 1.0], [0.36, 0.36, 0.36], [1.5, 1.5]]),
        (Correction("mis", 1.5), [[1.0, 1.0], [0.36, 0.36, 0.36], [0.0, 0.0]]),
        (Correction("icepop", 2.5, 0.5), [[2.0, 0.5], [0.0, 0.9, 1.0], [0.0, 2.0]]),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_weights_by_hand(correction, expected):
    """Ratios 2 and 1/2, whose product is 1; 0.4, 0.9 and 1, whose product is 0.36; 3 and 2. Padding does not count."""
    by_sequence = [[0, 0], [0, 0, 0], [1, 1]]
    outside = {"tis": [[1, 0], [0, 0, 0], [1, 1]], "icepop": [[0, 0], [1, 0, 0], [1, 0]]}.get(
        correction.kind, by_sequence
    )
    weight_BT, acts_BT = correction.weight(LOG_RATIO_BT, MASK_BT), correction.acts(LOG_RATIO_BT, MASK_BT)
    for row, own in enumerate(expected):
        assert weight_BT[row, : len(own)].tolist() == pytest.approx(own)
        assert acts_BT[row, : len(own)].tolist() == outside[row]


@pytest.mark.parametrize("kind", ["tis", "sequence-tis", "mis", "icepop"])
@pytest.mark.parametrize("log_ratio", [-1000.0, 1000.0])
def test_huge_ratios_stay_finite(kind, log_ratio):
    weight_BT = Correction(kind, 2.0, 0.5).weight(torch.full((2, 3), log_ratio), torch.ones(2, 3))
    assert weight_BT.isfinite().all() and weight_BT.max() <= 2


class TinyModel:
    """A policy over answers of `length` tokens of three, with logits of its own after each beginning of an answer. The
    sampler divides them by a temperature of its own, and the trainer does not."""

    def __init__(self, length: int, temperature: float) -> None:
        generator = torch.Generator().manual_seed(3)
        beginnings = [start for size in range(length) for start in product(range(3), repeat=size)]
        self.place = {start: place for place, start in enumerate(beginnings)}
        self.logit_PV = torch.randn(len(beginnings), 3, generator=generator, dtype=torch.float64).requires_grad_()
        self.answers = list(product(range(3), repeat=length))
        self.advantage_B = torch.randn(len(self.answers), generator=generator, dtype=torch.float64)
        self.temperature = temperature

    def log_probs(self, answer, temperature=1.0):
        logp_PV = (self.logit_PV / temperature).log_softmax(-1)
        return torch.stack([logp_PV[self.place[answer[:at]], token] for at, token in enumerate(answer)])[None]

    def expected_gradient(self, objective, correction, *, sampler):
        """The gradient of the loss, expected over the answers of the `sampler`, each with its exact probability."""
        totals, whole = Totals(1, len(self.answers[0]), len(self.answers[0])), 0
        for place, answer in enumerate(self.answers):
            policy_BT, sampled_BT = self.log_probs(answer), self.log_probs(answer, sampler).detach()
            given = LogProbs(policy_BT, policy_BT.detach(), policy_BT.detach(), sampled_BT=sampled_BT)
            loss = objective(given, self.advantage_B[place : place + 1], torch.ones_like(policy_BT), totals, correction)
            whole = whole + sampled_BT.sum().exp() * loss
        return torch.autograd.grad(whole, self.logit_PV)[0]


@pytest.fixture(scope="module")
def tiny():
    return TinyModel(length=2, temperature=0.6)


def test_of_every_objective_the_corrected_gradient_is_that_of_the_trained_policy(objective, tiny):
    """The sampler is greedier than the trainer, at temperature 0.6. Weights are of whole answers, without a bound."""
    wanted = tiny.expected_gradient(objective, None, sampler=1.0)
    corrected = tiny.expected_gradient(objective, Correction("sequence-tis", NO_BOUND), sampler=tiny.temperature)
    as_sampled = tiny.expected_gradient(objective, None, sampler=tiny.temperature)
    if objective.kl_coef:
        pytest.skip("the KL term is not weighted")
    torch.testing.assert_close(corrected, wanted, rtol=1e-9, atol=1e-12)
    assert (as_sampled - wanted).norm() > 0.1 * wanted.norm()


def test_the_corrected_gradient_is_the_slope_of_the_expected_advantage(tiny):
    """The gradient of REINFORCE, by differentiating sum_o pi(o) A(o) itself, which knows nothing of samples."""
    expected = sum(
        self_probability * advantage
        for self_probability, advantage in zip(
            (tiny.log_probs(answer).sum().exp() for answer in tiny.answers), tiny.advantage_B, strict=True
        )
    )
    (slope_PV,) = torch.autograd.grad(-expected, tiny.logit_PV)
    found = tiny.expected_gradient(Reinforce(reduce="sum"), Correction("mis", NO_BOUND), sampler=tiny.temperature)
    torch.testing.assert_close(found, slope_PV, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["tis", "icepop"])
def test_weights_by_token_are_exact_for_the_next_token_alone(kind):
    correction = Correction(kind, NO_BOUND)
    gradients = []
    for length in (1, 2):
        tiny = TinyModel(length, temperature=0.6)
        found = tiny.expected_gradient(Rgra(), correction, sampler=tiny.temperature)
        wanted = tiny.expected_gradient(Rgra(), None, sampler=1.0)
        gradients.append(float((found - wanted).norm() / wanted.norm()))
    assert gradients[0] < 1e-9 and gradients[1] > 1e-3


def test_a_bound_lowers_the_weight_and_a_mask_leaves_out():
    """One token of pi = 1/2 that was sampled with 1/8: weight 4, held at 3, or none."""
    given = (
        torch.tensor([[0.5]]).log().requires_grad_(),
        torch.tensor([[0.5]]).log(),
        None,
        torch.tensor([[0.125]]).log(),
    )
    slopes = []
    for correction in (None, Correction("tis", 5.0), Correction("tis", 3.0), Correction("mis", 3.0)):
        loss = Rgra()(
            LogProbs(*given[:3], sampled_BT=given[3]), torch.tensor([2.0]), torch.ones(1, 1), Totals(1, 1), correction
        )
        slopes.append(float(torch.autograd.grad(loss, given[0])[0]))
    assert slopes == pytest.approx([-2.0, -8.0, -6.0, 0.0])


def test_the_kl_term_is_not_weighted():
    logp = LogProbs(
        torch.tensor([[-1.0]]), torch.tensor([[-1.0]]), torch.tensor([[-2.0]]), sampled_BT=torch.tensor([[-9.0]])
    )
    given = logp, torch.tensor([0.0]), torch.ones(1, 1), Totals(1, 1)
    objective = Rgra(kl_coef=0.3)
    assert float(objective(*given, Correction("tis", 5.0))) == float(objective(*given)) == pytest.approx(0.3 / math.e)


def test_what_knows_the_old_policy_is_found_by_trial(objective):
    """Those with a ratio, a clip or a mask; a KL term alone is none."""
    with_ratio = {"grpo", "grpo-positive", "dr-grpo", "dapo", "gspo", "cispo", "raft-plus", "reinforce-rej", "rec"}
    with_ratio |= {"wapo", "sapo", "gmpo", "vespo", "luspo", "dppo", "gdpo", "clip-cov", "kl-cov"}
    without = {"rgra", "reinforce", "raft", "sft", "rloo", "gpg", "nsr", "psr", "maxrl", "pkpo"}
    if objective.kind in with_ratio | without:
        bounded = getattr(objective, "clip", "off") != "off" or objective.sequence_mask != "off"
        assert objective.knows_old == (objective.kind in with_ratio or bounded)


def test_after_several_updates_the_weight_is_of_the_policy_or_of_the_old_one():
    """pi = 0.4, pi_old = 0.2, sampled with 0.1: an objective with a ratio of 2 of its own weighs 2, one without 4."""
    given = [torch.tensor([[probability]], dtype=torch.float64).log() for probability in (0.4, 0.2, 0.3, 0.1)]
    logp = LogProbs(*given[:3], sampled_BT=given[3])
    assert float(Rgra().log_mismatch(logp).exp()) == pytest.approx(4)
    for objective in (Gspo(), Rec(), Nsr(clip=0.2), Rgra(sequence_mask=0.5)):
        assert float(objective.log_mismatch(logp).exp()) == pytest.approx(2), objective
