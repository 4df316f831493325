"""Surrogates of the policy gradient by the ratio to the old policy, and their clip: each one formula.

rho_bt = pi_bt / pi_old_bt, and A_b is advantage_B1. Bounds are 1 - low and 1 + high; "off" is no bound.
"""

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from paring.maths.kl import LARGEST_LOG_RATIO
from paring.maths.objective import LogProbs, Objective, importance_ratio
from paring.settings.declare import Positive

ClipLow = Annotated[float, Field(gt=0, le=1)] | Literal["off"]
ClipHigh = Positive | Literal["off"]


def sequence_ratio(logp: LogProbs, mask_BT: Tensor) -> Tensor:
    """s_b = (pi(o_b) / pi_old(o_b))^(1/|o_b|), the geometric mean of a completion's ratios: [B, 1]
    (GSPO, arXiv 2507.18071)."""
    log_ratio_BT = (logp.policy_BT - logp.old_BT) * mask_BT
    mean_B1 = log_ratio_BT.sum(-1, keepdim=True) / mask_BT.sum(-1, keepdim=True).clamp(min=1)
    return mean_B1.clamp(max=LARGEST_LOG_RATIO).exp()


def bounded(ratio_BT: Tensor, low: ClipLow, high: ClipHigh) -> Tensor:
    """clip(rho, 1 - low, 1 + high)."""
    return ratio_BT.clamp(*_bounds(low, high))


def clipped_surrogate(ratio_BT: Tensor, advantage_B1: Tensor, low: ClipLow, high: ClipHigh) -> Tensor:
    """min[ rho_bt A_b, clip(rho_bt, 1 - low, 1 + high) A_b ]      (PPO, arXiv 1707.06347, eq. 7)"""
    return (ratio_BT * advantage_B1).minimum(bounded(ratio_BT, low, high) * advantage_B1)


def runs_away(ratio_BT: Tensor, advantage_B1: Tensor, low: ClipLow, high: ClipHigh) -> Tensor:
    """Where that surrogate has no gradient: the ratio is past the bound to which the advantage pushes it. bool."""
    least, most = _bounds(low, high)
    return ((ratio_BT > most) & (advantage_B1 > 0)) | ((ratio_BT < least) & (advantage_B1 < 0))


def outside(ratio_BT: Tensor, low: ClipLow, high: ClipHigh) -> Tensor:
    """Where the ratio is past either bound, whatever the advantage. bool."""
    least, most = _bounds(low, high)
    return (ratio_BT > most) | (ratio_BT < least)


def _bounds(low: ClipLow, high: ClipHigh) -> tuple[float, float]:
    return (0.0 if low == "off" else 1 - low), (math.inf if high == "off" else 1 + high)


class ClippedRatio(Objective):
    """Objectives whose tokens gain PPO's surrogate, min[ rho_bt A_b, clip(rho_bt, 1 - clip_low, 1 + clip_high) A_b ].

    Where no advantage is negative the lower bound cannot act, and a kind leaves it "off"."""

    clip_low: ClipLow = "off"
    clip_high: ClipHigh = "off"
    delta: ClipHigh = "off"
    """The largest ratio of a token of negative advantage, which PPO's surrogate leaves unbounded: min(rho, delta) A in
    place of rho A. It is dual clip's bound c (arXiv 1912.09729) and INTELLECT-2's delta (arXiv 2505.07291)."""

    def gain(self, logp: LogProbs, advantage_B1: Tensor, mask_BT: Tensor) -> Tensor:
        ratio_BT = importance_ratio(logp)
        if self.delta != "off":
            ratio_BT = torch.where(advantage_B1 < 0, ratio_BT.clamp(max=self.delta), ratio_BT)
        return clipped_surrogate(ratio_BT, advantage_B1, self.clip_low, self.clip_high)

    def clipped(self, logp: LogProbs, advantage_B1: Tensor, mask_BT: Tensor) -> Tensor:
        ratio_BT = importance_ratio(logp)
        clipped_BT = runs_away(ratio_BT, advantage_B1, self.clip_low, self.clip_high)
        return clipped_BT if self.delta == "off" else clipped_BT | (ratio_BT > self.delta) & (advantage_B1 < 0)
