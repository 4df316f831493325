"""Objectives that ask what right and wrong answers each are good for: RAFT++, Reinforce-Rej, REC, NSR, PSR, WAPO."""

from typing import Literal

from torch import Tensor

from paring.maths.advantages import Outcome, best_of_group, centred, group_relative, mixed, positive_part, raw
from paring.maths.objective import LogProbs, Objective, Reduce, importance_ratio
from paring.maths.surrogates import ClipHigh, ClipLow, ClippedRatio, clipped_surrogate, outside, runs_away
from paring.settings.declare import NotNegative, Positive, settings


@settings
class RaftPlus(ClippedRatio):
    """RAFT++: RAFT with importance sampling and a clip (arXiv 2504.11343).

    loss = -1/|D| sum_{b in D} 1/|o_b| sum_t min[ rho_bt, 1 + clip_high ],   D = { b : r_b = the maximum of its group }

    All of several equally good are in D. A group that is all wrong has none in D, unless all_wrong = "train"."""

    kind: Literal["raft-plus"] = "raft-plus"
    all_wrong: Literal["train", "drop"] = "drop"
    clip_high: ClipHigh = 0.2
    reduce: Reduce = "per-sequence"

    def advantage(self, outcome: Outcome) -> Tensor:
        return self.selected(outcome).to(outcome.reward_PG.dtype)

    def selected(self, outcome: Outcome) -> Tensor:
        best_PG = best_of_group(outcome.reward_PG, "all")
        return best_PG & outcome.correct_PG.any(-1, keepdim=True) if self.all_wrong == "drop" else best_PG


@settings
class ReinforceRej(ClippedRatio):
    """Reinforce-Rej: raw signed rewards, and groups that are all right or all wrong are left out (arXiv 2504.11343).

    loss = -1/|D| sum_{b in D} 1/|o_b| sum_t min[ rho_bt A_b, clip(rho_bt) A_b ],   A = 1 right, -1 wrong
    D = { b : its group has right and wrong answers }"""

    kind: Literal["reinforce-rej"] = "reinforce-rej"
    clip_low: ClipLow = 0.2
    clip_high: ClipHigh = 0.2
    reduce: Reduce = "per-sequence"

    def advantage(self, outcome: Outcome) -> Tensor:
        return raw(outcome, "signed") * self.selected(outcome)

    def selected(self, outcome: Outcome) -> Tensor:
        return mixed(outcome.correct_PG)[:, None].expand_as(outcome.correct_PG)


@settings
class Rec(Objective):
    """REINFORCE with clipping as a mask, by default one-sided and without importance sampling (arXiv 2509.24203).

    loss = -1/(sum_b |o_b|) sum_b sum_t A_b log pi_bt M_bt,   A = r - mean
    M_bt = 0 where rho_bt > 1 + clip_high with A_b > 0, or rho_bt < 1 - clip_low with A_b < 0, else 1

    `ratio`: with importance sampling, rho_bt in place of log pi_bt; the gradient is then PPO's. `sides` = "both":
    M is 0 past either bound, whatever the advantage."""

    kind: Literal["rec"] = "rec"
    std: bool = False
    ratio: bool = False
    sides: Literal["one", "both"] = "one"
    clip_low: ClipLow = 0.2
    clip_high: ClipHigh = 0.2
    reduce: Reduce = "per-token"

    def advantage(self, outcome: Outcome) -> Tensor:
        return group_relative(outcome.reward_PG, std=self.std)

    def gain(self, logp: LogProbs, advantage_B1: Tensor, mask_BT: Tensor) -> Tensor:
        gain_BT = advantage_B1 * (importance_ratio(logp) if self.ratio else logp.policy_BT)
        return gain_BT.masked_fill(self.clipped(logp, advantage_B1, mask_BT), 0.0)

    def clipped(self, logp: LogProbs, advantage_B1: Tensor, mask_BT: Tensor) -> Tensor:
        ratio_BT = importance_ratio(logp)
        if self.sides == "both":
            return outside(ratio_BT, self.clip_low, self.clip_high)
        return runs_away(ratio_BT, advantage_B1, self.clip_low, self.clip_high)


class _Half(Objective):
    """Objectives of one sign, by the formula or as their authors' code has them."""

    clip: Positive | Literal["off"] = "off"
    count: Literal["all", "trained"] = "all"

    def gain(self, logp: LogProbs, advantage_B1: Tensor, mask_BT: Tensor) -> Tensor:
        if self.clip == "off":
            return advantage_B1 * logp.policy_BT
        return clipped_surrogate(importance_ratio(logp), advantage_B1, min(self.clip, 1.0), self.clip)

    def clipped(self, logp: LogProbs, advantage_B1: Tensor, mask_BT: Tensor) -> Tensor:
        if self.clip == "off":
            return super().clipped(logp, advantage_B1, mask_BT)
        return runs_away(importance_ratio(logp), advantage_B1, min(self.clip, 1.0), self.clip)

    def selected(self, outcome: Outcome) -> Tensor:
        return self.advantage(outcome) != 0 if self.count == "trained" else super().selected(outcome)


@settings
class Nsr(_Half):
    """Negative sample reinforcement: wrong answers are made unlikelier, and nothing else (arXiv 2506.01347).

    loss = -1/(sum_b |o_b|) sum_b sum_t A_b log pi_bt,   A = right_weight right, -1 wrong

    right_weight = 0.1 is the paper's Weighted-REINFORCE. The formula is the paper's. Its code is a fork of verl with
    PPO's surrogate, clipped at 1 +- 0.2, and divides by the tokens of the answers that are trained on: `clip = 0.2`
    and `count = "trained"`. Without a clip nothing bounds several updates of a rollout."""

    kind: Literal["nsr"] = "nsr"
    right_weight: NotNegative = 0.0
    clip: Positive | Literal["off"] = "off"
    count: Literal["all", "trained"] = "all"
    reduce: Reduce = "per-token"

    def advantage(self, outcome: Outcome) -> Tensor:
        right_PG = raw(outcome, "correct")
        return self.right_weight * right_PG - (1 - right_PG)


@settings
class Psr(_Half):
    """Positive sample reinforcement: right answers are made likelier, and nothing else (arXiv 2506.01347).

    loss = -1/(sum_b |o_b|) sum_b sum_t A_b log pi_bt,   A = 1 right, 0 wrong

    `clip` and `count`: see `nsr`."""

    kind: Literal["psr"] = "psr"
    clip: Positive | Literal["off"] = "off"
    count: Literal["all", "trained"] = "all"
    reduce: Reduce = "per-token"

    def advantage(self, outcome: Outcome) -> Tensor:
        return raw(outcome, "correct")


@settings
class Wapo(ClippedRatio):
    """Positive advantages alone, without std, over a constant (arXiv 2606.16154).

    loss = -1/(B L) sum_b sum_t min[ rho_bt, 1 + clip_high ] A+_b,   A+ = max(r - mean, 0),   L = rollout.max_new_tokens
    """

    kind: Literal["wapo"] = "wapo"
    clip_high: ClipHigh = 9.0
    reduce = "constant"

    def advantage(self, outcome: Outcome) -> Tensor:
        return positive_part(centred(outcome.reward_PG))
