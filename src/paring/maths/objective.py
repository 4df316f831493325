"""What an objective is: how an outcome becomes advantages, what each token gains by them, and how that is summed."""

from typing import cast

import torch
from torch import Tensor

from paring.maths.advantages import Outcome
from paring.maths.kl import KL_ESTIMATORS
from paring.maths.reducers import REDUCERS, Totals, per_token_mean
from paring.maths.surrogates import ClipHigh, ClipLow, LogProbs, clipped_surrogate, importance_ratio, runs_away


class Objective:
    """loss = -reduce_bt [ gain_bt - kl_coef kl_bt ]

    A kind of objective derives from this and says how it differs. What stands here without an annotation is no
    setting: a kind that lets it be set declares it as a field of its own, and another cannot be given it."""

    kl_coef = 0.0
    """beta, the weight of the KL divergence from the reference; 0: no reference is needed."""
    kl = "k3"
    """Its estimator, a name in KL_ESTIMATORS."""
    reduce = "per-sequence"
    """What the length of an answer weighs, a name in REDUCERS."""
    redraws = 0
    """Times that problems of which all answers are right, or all wrong, are replaced by others before the update."""
    from_solutions = False
    """Whether the task's own solutions are learned, and nothing is sampled."""
    learns_from_zero = False
    """Whether `gain` has a gradient where the advantage is 0. If not, such completions are left out of the passes."""

    def advantage(self, outcome: Outcome) -> Tensor:
        """What each completion is worth: float64 [P, G]."""
        raise NotImplementedError

    def selected(self, outcome: Outcome) -> Tensor:
        """The completions that the loss is a mean over: bool [P, G]. The others must have the advantage 0."""
        return torch.ones_like(outcome.correct_PG)

    def gain(self, logp: LogProbs, advantage_B1: Tensor, mask_BT: Tensor) -> Tensor:
        """What each token adds to what is maximised: [B, T]. Unless a kind says otherwise the policy gradient,
        A_b log pi_bt."""
        return advantage_B1 * logp.policy_BT

    def clipped(self, logp: LogProbs, advantage_B1: Tensor, mask_BT: Tensor) -> Tensor:
        """The tokens whose gradient a clip stops or bounds: bool [B, T]; without a clip none."""
        return torch.zeros_like(mask_BT, dtype=torch.bool)

    def opened(self) -> "Objective":
        """What is to be used: itself, but of a custom one what its file defines."""
        return self

    def __call__(self, logp: LogProbs, advantage_B: Tensor, mask_BT: Tensor, totals: Totals) -> Tensor:
        """The micro-batch's part of the loss, a scalar. advantage_B: [B]; mask_BT: 1.0 where there is a token."""
        gain_BT = self.gain(logp, advantage_B[:, None], mask_BT)
        if self.kl_coef:
            assert logp.reference_BT is not None, "kl_coef is not 0, but no reference log-probs were given"
            gain_BT = gain_BT - self.kl_coef * KL_ESTIMATORS[self.kl](logp.reference_BT - logp.policy_BT)
        return -REDUCERS[self.reduce](gain_BT, mask_BT, totals)

    def clip_fraction(self, logp: LogProbs, advantage_B: Tensor, mask_BT: Tensor, totals: Totals) -> Tensor:
        """The micro-batch's part of the share of tokens that are `clipped`."""
        return per_token_mean(self.clipped(logp, advantage_B[:, None], mask_BT).to(mask_BT.dtype), mask_BT, totals)


class ClippedRatio(Objective):
    """Objectives whose tokens gain PPO's surrogate, min[ rho_bt A_b, clip(rho_bt, 1 - clip_low, 1 + clip_high) A_b ].

    Where no advantage is negative the lower bound cannot act, and a kind leaves it "off"."""

    clip_low = "off"
    clip_high = "off"

    def gain(self, logp: LogProbs, advantage_B1: Tensor, mask_BT: Tensor) -> Tensor:
        return clipped_surrogate(importance_ratio(logp), advantage_B1, *self._clip())

    def clipped(self, logp: LogProbs, advantage_B1: Tensor, mask_BT: Tensor) -> Tensor:
        return runs_away(importance_ratio(logp), advantage_B1, *self._clip())

    def _clip(self) -> tuple[ClipLow, ClipHigh]:
        """The bounds. Without an annotation above, which would make settings of them, they have the type str."""
        return cast(ClipLow, self.clip_low), cast(ClipHigh, self.clip_high)
