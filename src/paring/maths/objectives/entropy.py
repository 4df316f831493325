"""Objectives that hold the entropy by what few tokens do to it: Clip-Cov, KL-Cov."""

from typing import Literal

from torch import Tensor

from paring.maths.advantages import Outcome, standardised
from paring.maths.objective import LogProbs, Objective, importance_ratio
from paring.maths.selection import TokensOfBatch, highest, some_of
from paring.maths.surrogates import ClipHigh, ClipLow, ClippedRatio, runs_away
from paring.settings.declare import Positive, Share, settings


@settings
class ClipCov(ClippedRatio):
    """Clip-Cov: GRPO, where a few tokens of high covariance gain nothing (arXiv 2505.22617; the form is that of verl).

    loss = -1/(sum_b |o_b|) sum_b sum_t min[ rho_bt A_b, clip(rho_bt, 1 - clip_low, 1 + clip_high) A_b ] K_bt
    K_bt = 0 for a share of all tokens, drawn from those of cov_low < c_bt < cov_high that the ratio's clip leaves
    c_bt = (log pi_bt - mean log pi) (A_b - mean A),   A = (r - mean) / std

    The means are over all tokens of an optimiser step. One token at least is drawn where there is one to draw; with
    share = 0 none, and no pass is spent on it."""

    kind: Literal["clip-cov"] = "clip-cov"
    share: Share = 2e-4
    cov_low: float = 1.0
    cov_high: float = 5.0
    clip_low: ClipLow = 0.2
    clip_high: ClipHigh = 0.2
    reduce = "per-token"

    @property
    def surveys(self) -> bool:
        return self.share > 0

    @property
    def keeps_all(self) -> bool:
        return self.surveys

    def __post_init__(self) -> None:
        if self.cov_low >= self.cov_high:
            raise ValueError(f"cov_low={self.cov_low}: must be below cov_high={self.cov_high}; 1 and 5 are verl's")

    def advantage(self, outcome: Outcome) -> Tensor:
        return standardised(outcome.reward_PG)

    def picked(self, tokens: TokensOfBatch) -> Tensor:
        ratio_M = (tokens.logp_M - tokens.old_M).exp()
        kept_M = ~runs_away(ratio_M, tokens.advantage_M, self.clip_low, self.clip_high)
        within_M = (tokens.covariance_M > self.cov_low) & (tokens.covariance_M < self.cov_high)
        return some_of(within_M & kept_M, max(1, int(self.share * len(ratio_M))))

    def gain(self, logp: LogProbs, advantage_B1: Tensor, mask_BT: Tensor) -> Tensor:
        gain_BT = super().gain(logp, advantage_B1, mask_BT)
        return gain_BT if logp.picked_BT is None else gain_BT.masked_fill(logp.picked_BT, 0.0)

    def clipped(self, logp: LogProbs, advantage_B1: Tensor, mask_BT: Tensor) -> Tensor:
        clipped_BT = super().clipped(logp, advantage_B1, mask_BT)
        return clipped_BT if logp.picked_BT is None else clipped_BT | logp.picked_BT


@settings
class KlCov(Objective):
    """KL-Cov: the ratio without a clip, and a penalty on moving the tokens of the highest covariance
    (arXiv 2505.22617; the form is that of verl).

    loss = -1/(sum_b |o_b|) sum_b sum_t ( rho_bt A_b - penalty |log rho_bt| K_bt ),   A = (r - mean) / std
    K_bt = 1 for the share of tokens with the largest c_bt = (log pi_bt - mean log pi) (A_b - mean A), else 0

    |log rho| stands for the KL divergence to the policy that sampled. Its slope at rho = 1 is 0, so that the first
    update of a rollout is that of the ratio alone. The means are over all tokens of an optimiser step."""

    kind: Literal["kl-cov"] = "kl-cov"
    share: Share = 2e-4
    penalty: Positive = 1.0
    reduce = "per-token"

    @property
    def surveys(self) -> bool:
        return self.share > 0

    @property
    def keeps_all(self) -> bool:
        return self.surveys

    def advantage(self, outcome: Outcome) -> Tensor:
        return standardised(outcome.reward_PG)

    def picked(self, tokens: TokensOfBatch) -> Tensor:
        return highest(tokens.covariance_M, self.share)

    def gain(self, logp: LogProbs, advantage_B1: Tensor, mask_BT: Tensor) -> Tensor:
        gain_BT = importance_ratio(logp) * advantage_B1
        if logp.picked_BT is None:
            return gain_BT
        return gain_BT - self.penalty * (logp.policy_BT - logp.old_BT).abs() * logp.picked_BT
