"""The six of the RGRA paper (arXiv 2603.18756): RGRA, GRPO, its positive half, REINFORCE, RAFT and SFT."""

from typing import Literal

import torch
from torch import Tensor

from paring.maths.advantages import Outcome, RawReward, Std, best_of_group, group_relative, positive_part, raw
from paring.maths.kl import KlEstimator
from paring.maths.objective import Objective, Reduce
from paring.maths.surrogates import ClipHigh, ClipLow, ClippedRatio
from paring.settings.declare import NotNegative, Positive, TopShare, settings


@settings
class Rgra(Objective):
    """REINFORCE with group-relative advantage: no ratio, no clip, no critic (arXiv 2603.18756, eq. 2).

    loss = -1/B sum_b 1/|o_b| sum_t [ A_b log pi_bt - beta kl_bt ],   A = (r - mean) / std

    The paper names no estimator of the KL; k3 is our choice, as in DeepSeekMath. `sequence_mask` and `kl_weighted` are
    those of `grpo`. Entropy bonus and top-entropy tokens: docs/objectives.md."""

    kind: Literal["rgra"] = "rgra"
    std: Std = True
    """Whether the advantage is divided by the group's standard deviation, or by that of the "batch"."""
    kl_coef: NotNegative = 0.0
    kl: KlEstimator = "k3"
    kl_weighted: bool = False
    sequence_mask: Positive | Literal["off"] = "off"
    entropy_coef: NotNegative = 0.0
    entropy_target: Positive | Literal["off"] = "off"
    entropy_step: Positive = 0.005
    top_entropy: TopShare = 1.0
    reduce: Reduce = "per-sequence"

    def advantage(self, outcome: Outcome) -> Tensor:
        return group_relative(outcome.reward_PG, std=self.std)


@settings
class Grpo(ClippedRatio):
    """Group relative policy optimisation (arXiv 2402.03300, eq. 3; arXiv 2603.18756, eq. 1).

    loss = -1/B sum_b 1/|o_b| sum_t { min[ rho_bt A_b, clip(rho_bt, 1 - clip_low, 1 + clip_high) A_b ] - beta kl_bt }
    rho_bt = pi_bt / pi_old_bt,   A = (r - mean) / std

    With one update per rollout rho = 1, the clip cannot act, and the gradient is RGRA's exactly. A bound that is "off"
    leaves the ratio unclipped on that side; both off is the ratio without a clip. With `delta`, rho is at most delta
    where A_b < 0, as in dual clip; that is above 1 + clip_high. With `sequence_mask`, a completion of A_b < 0 gains
    nothing once the mean of log pi_old - log pi over its tokens is above it. With `kl_weighted`, rho_bt kl_bt in place
    of kl_bt."""

    kind: Literal["grpo"] = "grpo"
    std: Std = True
    clip_low: ClipLow = 0.2
    clip_high: ClipHigh = 0.2
    delta: ClipHigh = "off"
    kl_coef: NotNegative = 0.0
    kl: KlEstimator = "k3"
    kl_weighted: bool = False
    sequence_mask: Positive | Literal["off"] = "off"
    entropy_coef: NotNegative = 0.0
    entropy_target: Positive | Literal["off"] = "off"
    entropy_step: Positive = 0.005
    top_entropy: TopShare = 1.0
    reduce: Reduce = "per-sequence"

    def __post_init__(self) -> None:
        if self.delta != "off" and self.clip_high != "off" and self.delta <= 1 + self.clip_high:
            raise ValueError(
                f"delta={self.delta}: it bounds what clip_high={self.clip_high} does not reach, and must lie above "
                f"{1 + self.clip_high:g}; 3 or 4 are usual"
            )

    def advantage(self, outcome: Outcome) -> Tensor:
        return group_relative(outcome.reward_PG, std=self.std)


@settings
class GrpoPositive(ClippedRatio):
    """GRPO whose advantages below 0 are 0 (arXiv 2603.18756, sec. 3).

    loss = -1/B sum_b 1/|o_b| sum_t { min[ rho_bt, 1 + clip_high ] A+_b - beta kl_bt },   A+ = max((r - mean) / std, 0)

    Mean and std are over the whole group, the KL term is on all completions and the divisor stays B, as the equation
    is written. Without negative advantages the lower bound cannot act, so there is none to set."""

    kind: Literal["grpo-positive"] = "grpo-positive"
    std: bool = True
    clip_high: ClipHigh = 0.2
    kl_coef: NotNegative = 0.0
    kl: KlEstimator = "k3"
    reduce: Reduce = "per-sequence"

    def advantage(self, outcome: Outcome) -> Tensor:
        return positive_part(group_relative(outcome.reward_PG, std=self.std))


@settings
class Reinforce(Objective):
    """REINFORCE on raw rewards: RGRA without the group (arXiv 2603.18756, sec. 3, in words only).

    loss = -1/B sum_b 1/|o_b| sum_t [ r_b log pi_bt - beta kl_bt ]

    The paper's rewards are {0, 0.1, 1, 1.1}: none is negative, so no answer is ever pushed down. With
    reward = "signed" wrong ones are."""

    kind: Literal["reinforce"] = "reinforce"
    reward: RawReward = "task"
    """"task": as the task gives it; "correct": 1 right, 0 wrong; "signed": 1 right, -1 wrong."""
    kl_coef: NotNegative = 0.0
    kl: KlEstimator = "k3"
    reduce: Reduce = "per-sequence"

    def advantage(self, outcome: Outcome) -> Tensor:
        return raw(outcome, self.reward)


@settings
class Raft(Objective):
    """Reward-ranked fine-tuning: cross-entropy on the best completion of each group (Dong et al., arXiv 2304.06767).

    loss = -1/(sum_{b in D} |o_b|) sum_{b in D} sum_t log pi_bt,   D = the best of each group

    Which of several equally good is the best, and what is done with a group that is all wrong, neither paper says.
    `ties`: the first of them as they were sampled, which is one at random since members are exchangeable; or all.
    `all_wrong`: "train" on its best all the same, which is an answer known to be wrong; or "drop" the group."""

    kind: Literal["raft"] = "raft"
    ties: Literal["first", "all"] = "first"
    all_wrong: Literal["train", "drop"] = "train"
    reduce: Reduce = "per-token"

    def advantage(self, outcome: Outcome) -> Tensor:
        return self.selected(outcome).to(outcome.reward_PG.dtype)

    def selected(self, outcome: Outcome) -> Tensor:
        best_PG = best_of_group(outcome.reward_PG, self.ties)
        if self.all_wrong == "drop":
            best_PG &= outcome.correct_PG.any(-1, keepdim=True)
        return best_PG


@settings
class Sft(Objective):
    """Supervised fine-tuning on the task's own worked solutions, journalled and measured as the others are.

    loss = -1/(sum_b |o_b|) sum_b sum_t log pi_bt,   o_b = the solution of problem b

    Nothing is sampled: a step has one completion a problem, and rollout.group_size does not matter."""

    kind: Literal["sft"] = "sft"
    reduce = "per-token"
    from_solutions = True

    def advantage(self, outcome: Outcome) -> Tensor:
        return torch.ones_like(outcome.reward_PG)
