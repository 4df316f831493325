"""Estimators of the KL divergence from the sampled tokens alone, each one formula."""

from typing import Literal

from torch import Tensor

LARGEST_LOG_RATIO = 20.0
"""exp() of a larger log-ratio would overflow into a NaN gradient; e^20 is past any use as a weight."""

KlEstimator = Literal["k1", "k2", "k3"]


def k1(log_ratio_BT: Tensor) -> Tensor:
    """-d, with d = log pi_ref - log pi: unbiased, high variance, may be negative. Its gradient has no KL in it:
    differentiated per token, its mean is zero (Schulman 2020, "Approximating KL divergence")."""
    return -log_ratio_BT


def k2(log_ratio_BT: Tensor) -> Tensor:
    """d^2 / 2, with d = log pi_ref - log pi: biased, low variance (Schulman 2020)."""
    return log_ratio_BT.square() / 2


def k3(log_ratio_BT: Tensor) -> Tensor:
    """e^d - d - 1, with d = log pi_ref - log pi: unbiased, never negative (Schulman 2020; arXiv 2402.03300, eq. 4)."""
    # Both terms are clamped: -d alone would push a policy that far below its reference further down.
    log_ratio_BT = log_ratio_BT.clamp(max=LARGEST_LOG_RATIO)
    return log_ratio_BT.exp() - log_ratio_BT - 1


KL_ESTIMATORS = {"k1": k1, "k2": k2, "k3": k3}
