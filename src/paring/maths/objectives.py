"""What the policy gradient follows: objectives, KL estimators and reducers, each one formula."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from paring.settings import NotNegative, Positive, settings

LARGEST_LOG_RATIO = 20.0
"""exp() of a larger log-ratio would overflow into a NaN gradient; e^20 is past any use as a weight."""


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


@dataclass(frozen=True)
class Totals:
    """Size of the whole batch of an update. A micro-batch divides by these, so its cut does not change the sum."""

    sequences: int
    tokens: int


def per_sequence_mean(value_BT: Tensor, mask_BT: Tensor, totals: Totals) -> Tensor:
    """1/B sum_b 1/|o_b| sum_t v_bt, with B of the whole batch: every completion weighs the same."""
    length_B = mask_BT.sum(-1).clamp(min=1)
    return ((value_BT * mask_BT).sum(-1) / length_B).sum() / totals.sequences


def per_token_mean(value_BT: Tensor, mask_BT: Tensor, totals: Totals) -> Tensor:
    """1 / (sum_b |o_b|) sum_bt v_bt, with the tokens of the whole batch: every token weighs the same."""
    return (value_BT * mask_BT).sum() / totals.tokens


REDUCERS = {"per-sequence": per_sequence_mean, "per-token": per_token_mean}


def cross_entropy(logp_BT: Tensor, mask_BT: Tensor, totals: Totals) -> Tensor:
    """-1 / (sum_b |o_b|) sum_bt log pi(o_bt): the supervised loss in nats a token; a micro-batch gives its part."""
    return -per_token_mean(logp_BT, mask_BT, totals)


@dataclass(frozen=True)
class LogProbs:
    """log pi(o_bt) under three policies, [B, T] each, 0 where mask_BT is 0.

    policy: being trained, carries the gradient. old: the one that sampled. reference: adapters off; needed only
    where `objective.kl_coef` is not 0."""

    policy_BT: Tensor
    old_BT: Tensor
    reference_BT: Tensor | None


@settings
class Rgra:
    """REINFORCE with group-relative advantage: no ratio, no clip, no critic (arXiv 2603.18756, eq. 2).

    loss = -1/B sum_b 1/|o_b| sum_t [ A_b log pi_bt - beta kl_bt ]

    The paper names no estimator of the KL; k3 is our choice, as in DeepSeekMath."""

    kind: Literal["rgra"] = "rgra"
    kl_coef: NotNegative = 0.0
    kl: Literal["k1", "k2", "k3"] = "k3"
    reduce: Literal["per-sequence", "per-token"] = "per-sequence"

    def __call__(self, logp: LogProbs, advantage_B: Tensor, mask_BT: Tensor, totals: Totals) -> Tensor:
        """The micro-batch's part of the loss, a scalar. advantage_B: [B]; mask_BT: 1.0 where there is a token."""
        gain_BT = advantage_B[:, None] * logp.policy_BT - kl_penalty(self, logp)
        return -REDUCERS[self.reduce](gain_BT, mask_BT, totals)

    def clip_fraction(self, logp: LogProbs, advantage_B: Tensor, mask_BT: Tensor, totals: Totals) -> Tensor:
        """Share of the tokens whose gradient the clip stops: none, there is no clip."""
        return mask_BT.new_zeros(())


@settings
class Grpo:
    """Group relative policy optimisation (arXiv 2402.03300, eq. 3; arXiv 2603.18756, eq. 1).

    loss = -1/B sum_b 1/|o_b| sum_t { min[ rho_bt A_b, clip(rho_bt, 1 - clip_low, 1 + clip_high) A_b ] - beta kl_bt }
    rho_bt = pi_bt / pi_old_bt

    With one update per rollout rho = 1, the clip cannot act, and the gradient is RGRA's exactly."""

    kind: Literal["grpo"] = "grpo"
    clip_low: Annotated[float, Field(gt=0, le=1)] = 0.2
    clip_high: Positive = 0.2
    kl_coef: NotNegative = 0.0
    kl: Literal["k1", "k2", "k3"] = "k3"
    reduce: Literal["per-sequence", "per-token"] = "per-sequence"

    def __call__(self, logp: LogProbs, advantage_B: Tensor, mask_BT: Tensor, totals: Totals) -> Tensor:
        """The micro-batch's part of the loss, a scalar. advantage_B: [B]; mask_BT: 1.0 where there is a token."""
        advantage_B1 = advantage_B[:, None]
        ratio_BT = importance_ratio(logp)
        clipped_BT = ratio_BT.clamp(1 - self.clip_low, 1 + self.clip_high)
        surrogate_BT = (ratio_BT * advantage_B1).minimum(clipped_BT * advantage_B1)
        return -REDUCERS[self.reduce](surrogate_BT - kl_penalty(self, logp), mask_BT, totals)

    def clip_fraction(self, logp: LogProbs, advantage_B: Tensor, mask_BT: Tensor, totals: Totals) -> Tensor:
        """The micro-batch's part of the share of tokens whose gradient the clip stops."""
        ratio_BT, advantage_B1 = importance_ratio(logp), advantage_B[:, None]
        too_high_BT = (ratio_BT > 1 + self.clip_high) & (advantage_B1 > 0)
        too_low_BT = (ratio_BT < 1 - self.clip_low) & (advantage_B1 < 0)
        return per_token_mean((too_high_BT | too_low_BT).to(mask_BT.dtype), mask_BT, totals)


Objective = Annotated[Rgra | Grpo, Field(discriminator="kind")]


def importance_ratio(logp: LogProbs) -> Tensor:
    """rho_bt = pi_bt / pi_old_bt."""
    return (logp.policy_BT - logp.old_BT).clamp(max=LARGEST_LOG_RATIO).exp()


def kl_penalty(objective: Rgra | Grpo, logp: LogProbs) -> Tensor | float:
    """beta kl_bt; nothing is computed, and no reference needed, where beta is 0."""
    if objective.kl_coef == 0:
        return 0.0
    assert logp.reference_BT is not None, "kl_coef is not 0, but no reference log-probs were given"
    return objective.kl_coef * KL_ESTIMATORS[objective.kl](logp.reference_BT - logp.policy_BT)
