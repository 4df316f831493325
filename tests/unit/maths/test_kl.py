"""The estimators of the KL divergence: by hand, in expectation, and where they push."""

import pytest
import torch

from paring.maths.kl import k1, k2, k3


def test_estimators_by_hand():
    log_ratio = torch.tensor([-0.5, 0.0, 1.0, 0.5])
    torch.testing.assert_close(k1(log_ratio), torch.tensor([0.5, 0.0, -1.0, -0.5]))
    torch.testing.assert_close(k2(log_ratio), torch.tensor([0.125, 0.0, 0.5, 0.125]))
    torch.testing.assert_close(k3(log_ratio), torch.tensor([0.10653066, 0.0, 0.71828183, 0.14872127]))


@pytest.mark.parametrize(("estimator", "unbiased"), [(k1, True), (k2, False), (k3, True)])
def test_expectation_of_the_estimators(estimator, unbiased):
    """Over all of a small vocabulary, sum_v p_v k(log q_v - log p_v) is KL(p || q)."""
    generator = torch.Generator().manual_seed(0)
    logp_PV, logq_PV = torch.randn(2, 20, 6, dtype=torch.float64, generator=generator).log_softmax(-1)
    expected_P = (logp_PV.exp() * estimator(logq_PV - logp_PV)).sum(-1)
    kl_P = (logp_PV.exp() * (logp_PV - logq_PV)).sum(-1)
    assert torch.allclose(expected_P, kl_P, rtol=1e-12) == unbiased


def test_k3_is_never_negative_and_nothing_only_at_equality():
    log_ratio = torch.arange(-120, 240, dtype=torch.float64) / 8
    assert (k3(log_ratio) >= 0).all()
    assert log_ratio[k3(log_ratio) == 0].tolist() == [0.0]


@pytest.mark.parametrize("distance", [-1000.0, -30.0, -1.0, 1.0, 30.0, 1000.0])
def test_no_kl_pushes_away_from_the_reference(distance):
    """d = log pi_ref - log pi: above 0 the policy must not fall further, below 0 it must not rise further."""
    for estimator in (k2, k3):
        log_ratio = torch.tensor(distance, requires_grad=True)
        estimator(log_ratio).backward()
        assert log_ratio.grad * distance >= 0, estimator.__name__
