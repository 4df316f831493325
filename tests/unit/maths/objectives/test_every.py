"""What is true of every objective: its gradient, its parts, its padding, and what is left out of the passes."""

from typing import get_args

import pytest
import torch

from paring.maths.objective import LogProbs, Totals
from paring.maths.objectives import (
    AnyObjective,
    Distillation,
    OfAims,
    OfBounds,
    OfEntropy,
    OfFamily,
    OfHalves,
    OfPaper,
    OwnObjective,
)

MASK_BT = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]], dtype=torch.float64)
TOTALS = Totals(sequences=3, tokens=7, longest=5)
ADVANTAGE_B = torch.tensor([1.2, -0.7, -0.4], dtype=torch.float64)


def log_probs(seed=1):
    generator = torch.Generator().manual_seed(seed)
    return (-torch.rand(3, 3, 4, dtype=torch.float64, generator=generator) * 3).unbind()


def test_all_kinds_are_here(kinds):
    tried = {type(kind) for kind in kinds}
    groups = OfPaper, OfFamily, OfHalves, OfBounds, OfAims, OfEntropy
    assert tried == {kind for group in groups for kind in get_args(group)}
    assert set(get_args(get_args(AnyObjective)[0])) == tried | {Distillation, OwnObjective}


def test_gradient_by_finite_differences(objective):
    """With respect to the logits of a softmax policy; the old one is far enough for some tokens to be clipped."""
    if objective.kind in ("cispo", "vespo", "dppo"):
        pytest.skip("its weight has no gradient, which is not the slope of its value: test_by_hand")
    generator = torch.Generator().manual_seed(1)
    logit_BTV = torch.randn(3, 4, 5, dtype=torch.float64, generator=generator).requires_grad_()
    token_BT1 = torch.randint(5, (3, 4, 1), generator=generator)
    _, old_BT, reference_BT = log_probs()

    def loss(logit_BTV):
        policy_BT = logit_BTV.log_softmax(-1).gather(-1, token_BT1)[..., 0]
        return objective(LogProbs(policy_BT, old_BT, reference_BT), ADVANTAGE_B, MASK_BT, TOTALS)

    assert torch.autograd.gradcheck(loss, logit_BTV)


def test_parts_of_a_batch_sum_to_the_whole(objective):
    policy_BT, old_BT, reference_BT = log_probs()

    def both(rows):
        logp = LogProbs(policy_BT[rows], old_BT[rows], reference_BT[rows])
        given = logp, ADVANTAGE_B[rows], MASK_BT[rows], TOTALS
        return torch.stack([objective(*given), objective.clip_fraction(*given)])

    torch.testing.assert_close(both(slice(0, 1)) + both(slice(1, 3)), both(slice(0, 3)))


def test_what_stands_in_the_padding_does_not_matter(objective):
    def loss_and_gradient(*filling):
        logp = LogProbs(
            *(
                torch.where(MASK_BT.bool(), value_BT, value)
                for value_BT, value in zip(log_probs(), filling, strict=True)
            )
        )
        logp.policy_BT.requires_grad_()
        loss = objective(logp, ADVANTAGE_B, MASK_BT, TOTALS)
        loss.backward()
        return loss.detach(), logp.policy_BT.grad

    (loss, gradient_BT), (other_loss, other_BT) = loss_and_gradient(0.0, 0.0, 0.0), loss_and_gradient(-3.0, -9.0, -1.0)
    assert torch.equal(loss, other_loss) and torch.equal(gradient_BT, other_BT)
    assert (gradient_BT[MASK_BT == 0] == 0).all() and gradient_BT.any()


@pytest.mark.parametrize("log_ratio", [-1000.0, 1000.0])
def test_huge_ratios_stay_finite(objective, log_ratio):
    policy_BT = log_probs()[0].requires_grad_()
    logp = LogProbs(policy_BT, policy_BT.detach() - log_ratio, policy_BT.detach() + log_ratio)
    loss = objective(logp, ADVANTAGE_B, MASK_BT, TOTALS)
    loss.backward()
    assert loss.isfinite() and policy_BT.grad.isfinite().all()


def test_an_advantage_of_0_has_no_gradient_so_that_it_may_be_left_out(objective):
    policy_BT, old_BT, reference_BT = log_probs()
    gain_BT = objective.gain(
        LogProbs(policy_BT.requires_grad_(), old_BT, reference_BT), torch.zeros(3, 1, dtype=torch.float64), MASK_BT
    )
    gain_BT.sum().backward()
    assert not policy_BT.grad.any() and not objective.learns_from_zero


def test_what_is_not_selected_has_the_advantage_0(objective, outcome):
    advantage_PG, selected_PG = objective.advantage(outcome), objective.selected(outcome)
    assert (advantage_PG.dtype, selected_PG.dtype) == (torch.float64, torch.bool)
    assert advantage_PG.shape == selected_PG.shape == (3, 4)
    assert not advantage_PG[~selected_PG].any() and advantage_PG.any()


def test_on_policy_the_gradient_is_the_advantage_s(objective):
    """With one update a rollout every surrogate is the policy gradient: d loss / d log pi = - A x its share."""
    policy_BT = log_probs()[0]
    leaf_BT = policy_BT.clone().requires_grad_()
    objective(LogProbs(leaf_BT, policy_BT, policy_BT), ADVANTAGE_B, MASK_BT, TOTALS).backward()
    share_BT = {
        "per-sequence": MASK_BT / MASK_BT.sum(-1, keepdim=True) / 3,
        "per-token": MASK_BT / 7,
        "constant": MASK_BT / (3 * 5),
        "sum": MASK_BT / 3,
    }[objective.reduce]
    # The policy is its reference too. There k2 and k3 are flat; k1 pushes all tokens down alike.
    push = objective.kl_coef if objective.kl == "k1" else 0.0
    torch.testing.assert_close(leaf_BT.grad, (push - ADVANTAGE_B[:, None]) * share_BT)
    given = LogProbs(leaf_BT, policy_BT, policy_BT), ADVANTAGE_B, MASK_BT, TOTALS
    assert objective.clip_fraction(*given) == 0
