"""The relatives of GRPO that change its baseline, its clip or what length weighs: RLOO, Dr. GRPO, DAPO, GSPO ..."""

from typing import Literal

import torch
from torch import Tensor

from paring.maths.advantages import (
    Outcome,
    centred,
    group_relative,
    leave_one_out,
    rescaled_for_silent_groups,
    soft_overlong,
    standardised,
)
from paring.maths.kl import KlEstimator
from paring.maths.objective import LogProbs, Objective, Reduce, importance_ratio
from paring.maths.surrogates import (
    ClipHigh,
    ClipLow,
    ClippedRatio,
    bounded,
    clipped_surrogate,
    outside,
    runs_away,
    sequence_ratio,
)
from paring.settings.declare import CountOrZero, NotNegative, Positive, Share, TopShare, settings


@settings
class Rloo(Objective):
    """REINFORCE, leave one out (arXiv 2402.14740).

    loss = -1/B sum_b sum_t [ A_b log pi_bt - beta kl_bt ],   A_b = r_b - mean of the others' rewards

    The KL divergence is a term of the loss here; the paper takes it off the reward."""

    kind: Literal["rloo"] = "rloo"
    kl_coef: NotNegative = 0.0
    kl: KlEstimator = "k3"
    reduce: Reduce = "sum"

    def advantage(self, outcome: Outcome) -> Tensor:
        return leave_one_out(outcome.reward_PG)


@settings
class DrGrpo(ClippedRatio):
    """GRPO done right: neither the group's std nor the answer's length divides (arXiv 2503.20783).

    loss = -1/(B L) sum_b sum_t { min[ rho_bt A_b, clip(rho_bt) A_b ] - beta kl_bt },   A = r - mean
    L = rollout.max_new_tokens"""

    kind: Literal["dr-grpo"] = "dr-grpo"
    clip_low: ClipLow = 0.2
    clip_high: ClipHigh = 0.2
    kl_coef: NotNegative = 0.0
    kl: KlEstimator = "k3"
    reduce = "constant"

    def advantage(self, outcome: Outcome) -> Tensor:
        return centred(outcome.reward_PG)


@settings
class Dapo(ClippedRatio):
    """Decoupled clip and dynamic sampling (arXiv 2503.14476): a higher upper bound, every token weighs the same,
    problems without signal are replaced, and long answers are penalised softly.

    loss = -1/(sum_b |o_b|) sum_b sum_t min[ rho_bt A_b, clip(rho_bt, 1 - clip_low, 1 + clip_high) A_b ]
    A = (r' - mean) / std,   r' = r + the soft overlong penalty

    `redraws`: problems whose answers are all right or all wrong are replaced by others, at most so many times a step;
    those that are still so then stay. 0: never. `overlong_share`: the penalty grows from 0 to -1 over that last
    share of rollout.max_new_tokens (4,096 of 20,480 in the paper). 0: off. `overlong_filter`: answers that were cut off
    count for the group's mean and std and are not learned; the paper has it as the other way to treat them."""

    kind: Literal["dapo"] = "dapo"
    clip_low: ClipLow = 0.2
    clip_high: ClipHigh = 0.28
    redraws: CountOrZero = 3
    overlong_share: Share = 0.2
    overlong_filter: bool = False
    entropy_coef: NotNegative = 0.0
    entropy_target: Positive | Literal["off"] = "off"
    entropy_step: Positive = 0.005
    top_entropy: TopShare = 1.0
    reduce = "per-token"

    def advantage(self, outcome: Outcome) -> Tensor:
        penalty_PG = soft_overlong(outcome.length_PG, longest=outcome.longest, share=self.overlong_share)
        return standardised(outcome.reward_PG + penalty_PG) * self.selected(outcome)

    def selected(self, outcome: Outcome) -> Tensor:
        kept_PG = torch.ones_like(outcome.correct_PG)
        return outcome.ended_PG if self.overlong_filter and outcome.ended_PG is not None else kept_PG


@settings
class Gspo(Objective):
    """Group sequence policy optimisation: one ratio a completion (arXiv 2507.18071).

    loss = -1/B sum_b min[ s_b A_b, clip(s_b, 1 - clip_low, 1 + clip_high) A_b ],   A = (r - mean) / std
    s_b = (pi(o_b) / pi_old(o_b))^(1/|o_b|)"""

    kind: Literal["gspo"] = "gspo"
    clip_low: ClipLow = 3e-4
    clip_high: ClipHigh = 4e-4

    def advantage(self, outcome: Outcome) -> Tensor:
        return standardised(outcome.reward_PG)

    def gain(self, logp: LogProbs, advantage_B1: Tensor, mask_BT: Tensor) -> Tensor:
        # The same value at each of its tokens: their mean over the completion is the value.
        ratio_B1 = sequence_ratio(logp, mask_BT)
        return clipped_surrogate(ratio_B1, advantage_B1, self.clip_low, self.clip_high).expand_as(mask_BT)

    def clipped(self, logp: LogProbs, advantage_B1: Tensor, mask_BT: Tensor) -> Tensor:
        ratio_B1 = sequence_ratio(logp, mask_BT)
        return runs_away(ratio_B1, advantage_B1, self.clip_low, self.clip_high).expand_as(mask_BT)


@settings
class Cispo(Objective):
    """Clipped importance sampling: the weight is clipped, and every token keeps its gradient (arXiv 2506.13585).

    loss = -1/(sum_b |o_b|) sum_b sum_t sg[clip(rho_bt, 1 - clip_low, 1 + clip_high)] A_b log pi_bt
    A = (r - mean) / std,   sg = no gradient

    The paper leaves the lower bound open and states no upper one; a weight of at most 5 is that of arXiv 2510.13786."""

    kind: Literal["cispo"] = "cispo"
    clip_low: ClipLow = "off"
    clip_high: ClipHigh = 4.0
    reduce = "per-token"

    def advantage(self, outcome: Outcome) -> Tensor:
        return standardised(outcome.reward_PG)

    def gain(self, logp: LogProbs, advantage_B1: Tensor, mask_BT: Tensor) -> Tensor:
        weight_BT = bounded(importance_ratio(logp), self.clip_low, self.clip_high).detach()
        return weight_BT * advantage_B1 * logp.policy_BT

    def clipped(self, logp: LogProbs, advantage_B1: Tensor, mask_BT: Tensor) -> Tensor:
        return outside(importance_ratio(logp), self.clip_low, self.clip_high)


@settings
class Gpg(Objective):
    """Group policy gradient: no ratio, no reference (arXiv 2504.02546). RGRA is this with std and KL, without alpha.

    loss = -1/B sum_b 1/|o_b| sum_t A_b log pi_bt,   A = alpha (r - mean),   alpha = B / (B - M)

    M of the B completions are in groups without signal. `std`: also divided by the group's standard deviation."""

    kind: Literal["gpg"] = "gpg"
    std: bool = False
    alpha: bool = True
    reduce: Reduce = "per-sequence"

    def advantage(self, outcome: Outcome) -> Tensor:
        advantage_PG = group_relative(outcome.reward_PG, std=self.std)
        return rescaled_for_silent_groups(advantage_PG, outcome.reward_PG) if self.alpha else advantage_PG
