"""The objective: how an outcome becomes advantages, each token's gain by them, and how gains are summed."""

from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self

import torch
from torch import Tensor

from paring.maths.advantages import Outcome
from paring.maths.kl import KL_ESTIMATORS, LARGEST_LOG_RATIO
from paring.maths.mismatch import Correction
from paring.maths.selection import TokensOfBatch, highest
from paring.settings.declare import Positive

Reduce = Literal["per-sequence", "per-token", "constant", "sum"]


@dataclass(frozen=True)
class LogProbs:
    """log pi(o_bt) under four policies, [B, T] each, 0 where mask_BT is 0.

    policy: being trained, carries the gradient. old: the one that sampled, by training's arithmetic. reference:
    adapters off; needed only where `objective.kl_coef` is not 0. sampled: the one that sampled, by the engine's own
    arithmetic, at the temperature of sampling; needed only for a correction."""

    policy_BT: Tensor
    old_BT: Tensor
    reference_BT: Tensor | None
    entropy_BT: Tensor | None = None
    """Exact, at each token, in nats, where the objective asks for it; with `entropy_coef` it has a gradient."""
    picked_BT: Tensor | None = None
    """bool, the tokens that the objective has `picked`, where it surveys the batch."""
    sampled_BT: Tensor | None = None
    teacher_BT: Tensor | None = None
    """The log-probs of a teacher, where the objective is a distillation by sampled tokens."""
    divergence_BT: Tensor | None = None
    """The exact reverse KL divergence to it at each token, in nats, with a gradient; else None."""


@dataclass(frozen=True)
class Totals:
    """Size of the whole batch of an update. A micro-batch divides by these, so its cut does not change the sum.

    Only the completions that the objective selects are counted; `longest` is the most tokens one may have."""

    sequences: int
    tokens: int
    longest: int = 1


def steered(coefficient: float, entropy: float, target: float, step: float) -> tuple[float, float]:
    """The weight of the entropy bonus at this step, and the coefficient of the next one: alpha = c where the entropy is
    at most the target, else 0; c grows by `step` where it is below and shrinks where it is above, to 0 at least
    (Skywork-OR1, arXiv 2505.22312, sec. 4)."""
    weight = coefficient if entropy <= target else 0.0
    return weight, max(0.0, coefficient + step * ((entropy < target) - (entropy > target)))


def importance_ratio(logp: LogProbs) -> Tensor:
    """rho_bt = pi_bt / pi_old_bt."""
    return (logp.policy_BT - logp.old_BT).clamp(max=LARGEST_LOG_RATIO).exp()


def drifted(logp: LogProbs, advantage_B1: Tensor, mask_BT: Tensor, limit: float) -> Tensor:
    """Completions of a negative advantage from which the policy has moved away: the mean over their tokens of
    log pi_old - log pi is above the limit, in nats (DeepSeek-V3.2, arXiv 2512.02556). bool [B, 1]"""
    log_ratio_BT = (logp.old_BT - logp.policy_BT).detach() * mask_BT
    mean_B1 = log_ratio_BT.sum(-1, keepdim=True) / mask_BT.sum(-1, keepdim=True).clamp(min=1)
    return (advantage_B1 < 0) & (mean_B1 > limit)


class Objective:
    """loss = -reduce_bt [ gain_bt + entropy_coef H_bt - kl_coef kl_bt ]

    A kind derives from this. What has no annotation here is a setting only of kinds that declare it as a field."""

    kl_coef = 0.0
    """beta, the weight of the KL divergence from the reference; 0: no reference is needed."""
    kl = "k3"
    """Its estimator, a name in KL_ESTIMATORS."""
    kl_weighted = False
    """Whether the estimate at a token is weighted by rho, which makes it, and its gradient, unbiased where the policy
    is no longer the one that sampled (DeepSeek-V3.2, arXiv 2512.02556)."""
    sequence_mask: Positive | Literal["off"] = "off"
    """Completions that have `drifted` beyond it gain nothing; their KL term stays."""
    reduce = "per-sequence"
    """How the length of an answer counts, a name in REDUCERS."""
    redraws = 0
    """Times that problems of which all answers are right, or all wrong, are replaced by others before the update."""
    from_solutions = False
    """Whether the task's own solutions are learned, and nothing is sampled."""
    learns_from_zero = False
    """Whether `gain` has a gradient where the advantage is 0. If not, such completions are left out of the passes."""
    entropy_coef = 0.0
    """Weight of the entropy bonus: each token gains entropy_coef times the entropy at it."""
    entropy_target: Positive | Literal["off"] = "off"
    entropy_step = 0.0
    """With a target the weight moves by this much a step: see `steered`."""
    top_entropy = 1.0
    """Share of the tokens that gain anything, those with the highest entropy (arXiv 2506.01939); KL term and entropy
    bonus stay on all."""

    @property
    def keeps_all(self) -> bool:
        """Whether completions of advantage 0 have a gradient, so that none is left out."""
        return bool(self.kl_coef or self.entropy_coef or self.learns_from_zero)

    @property
    def surveys(self) -> bool:
        """Whether `picked` is asked before each step of the optimiser, which takes a pass without a gradient."""
        return self.top_entropy < 1

    def advantage(self, outcome: Outcome) -> Tensor:
        """The advantage of each completion: float64 [P, G]."""
        raise NotImplementedError

    def selected(self, outcome: Outcome) -> Tensor:
        """The completions that the loss is a mean over: bool [P, G]. The others must have the advantage 0."""
        return torch.ones_like(outcome.correct_PG)

    def gain(self, logp: LogProbs, advantage_B1: Tensor, mask_BT: Tensor) -> Tensor:
        """The gain of each token, whose reduction is maximised: [B, T]. The default is the policy gradient,
        A_b log pi_bt."""
        return advantage_B1 * logp.policy_BT

    def picked(self, tokens: TokensOfBatch) -> Tensor:
        """The tokens of a whole batch that are treated otherwise than the rest: bool [M]. For `top_entropy` those that
        gain something."""
        assert tokens.entropy_M is not None, "top_entropy needs the entropy of each token"
        return highest(tokens.entropy_M, self.top_entropy)

    def clipped(self, logp: LogProbs, advantage_B1: Tensor, mask_BT: Tensor) -> Tensor:
        """The tokens whose gradient a clip stops or bounds: bool [B, T]; without a clip none."""
        return torch.zeros_like(mask_BT, dtype=torch.bool)

    def with_entropy_coef(self, weight: float) -> Self:
        """The same objective with another weight of its entropy bonus."""
        other = copy(self)
        object.__setattr__(other, "entropy_coef", weight)
        return other

    def check(self, group_size: int) -> None:
        """Raises ValueError where groups of this size do not do."""

    def opened(self) -> "Objective":
        """The objective to use: itself; for a custom one, the class that its file defines."""
        return self

    def __call__(
        self,
        logp: LogProbs,
        advantage_B: Tensor,
        mask_BT: Tensor,
        totals: Totals,
        correction: Correction | None = None,
    ) -> Tensor:
        """The micro-batch's part of the loss, a scalar. advantage_B: [B]; mask_BT: 1.0 where there is a token.
        `correction`: the gains, but not entropies and KL terms, are weighted by how likely their tokens were drawn."""
        gain_BT = self.masked_gain(logp, advantage_B[:, None], mask_BT)
        if correction is not None:
            gain_BT = correction.weight(self.log_mismatch(logp), mask_BT) * gain_BT
        if self.top_entropy < 1:
            assert logp.picked_BT is not None, "top_entropy is below 1, but no tokens were picked"
            gain_BT = gain_BT.masked_fill(~logp.picked_BT, 0.0)
        if self.entropy_coef:
            assert logp.entropy_BT is not None, "entropy_coef is not 0, but no entropies were given"
            gain_BT = gain_BT + self.entropy_coef * logp.entropy_BT
        if self.kl_coef:
            assert logp.reference_BT is not None, "kl_coef is not 0, but no reference log-probs were given"
            kl_BT = KL_ESTIMATORS[self.kl](logp.reference_BT - logp.policy_BT)
            if self.kl_weighted:
                kl_BT = importance_ratio(logp) * kl_BT
            gain_BT = gain_BT - self.kl_coef * kl_BT
        return -REDUCERS[self.reduce](gain_BT, mask_BT, totals)

    def masked_gain(self, logp: LogProbs, advantage_B1: Tensor, mask_BT: Tensor) -> Tensor:
        """The gain of each token, [B, T], which is 0 in completions that have `drifted` too far."""
        gain_BT = self.gain(logp, advantage_B1, mask_BT)
        if self.sequence_mask == "off":
            return gain_BT
        return gain_BT.masked_fill(drifted(logp, advantage_B1, mask_BT, self.sequence_mask), 0.0)

    def log_mismatch(self, logp: LogProbs) -> Tensor:
        """log w_bt of Correction: log of the trained policy over the one that sampled, but for what the objective's
        own ratio or clip takes care of, which is pi / pi_old."""
        assert logp.sampled_BT is not None, "a correction needs the log-probs at which the tokens were sampled"
        return (logp.old_BT if self.knows_old else logp.policy_BT.detach()) - logp.sampled_BT

    @cached_property
    def knows_old(self) -> bool:
        """Whether a ratio, a clip or a mask ties the gain to the old policy, so that answers of an older policy can be
        trained on without a correction. Found by trial: whether the gain's slope changes with the old log-probs."""
        generator = torch.Generator().manual_seed(0)
        policy_BT = -3 * torch.rand(8, 4, generator=generator, dtype=torch.float64)
        far_BT = policy_BT + 6 * torch.rand(8, 4, generator=generator, dtype=torch.float64) - 3
        far_BT[:2] = policy_BT[:2] + LARGEST_LOG_RATIO
        advantage_B1 = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(4)[:, None]

        def slope_BT(old_BT: Tensor) -> Tensor:
            with torch.enable_grad():
                leaf_BT = policy_BT.clone().requires_grad_()
                logp = LogProbs(leaf_BT, old_BT, policy_BT)
                gain_BT = self.masked_gain(logp, advantage_B1, torch.ones_like(leaf_BT))
                return torch.autograd.grad(gain_BT.sum() + 0 * leaf_BT.sum(), leaf_BT)[0]

        return not torch.equal(slope_BT(policy_BT), slope_BT(far_BT))

    def clip_fraction(self, logp: LogProbs, advantage_B: Tensor, mask_BT: Tensor, totals: Totals) -> Tensor:
        """The micro-batch's part of the share of tokens that are `clipped`, or masked with their completion."""
        clipped_BT = self.clipped(logp, advantage_B[:, None], mask_BT)
        if self.sequence_mask != "off":
            clipped_BT = clipped_BT | drifted(logp, advantage_B[:, None], mask_BT, self.sequence_mask)
        return per_token_mean(clipped_BT.to(mask_BT.dtype), mask_BT, totals)


def per_sequence_mean(value_BT: Tensor, mask_BT: Tensor, totals: Totals) -> Tensor:
    """1/B sum_b 1/|o_b| sum_t v_bt, with B of the whole batch: every completion weighs the same."""
    length_B = mask_BT.sum(-1).clamp(min=1)
    return ((value_BT * mask_BT).sum(-1) / length_B).sum() / totals.sequences


def per_token_mean(value_BT: Tensor, mask_BT: Tensor, totals: Totals) -> Tensor:
    """1 / (sum_b |o_b|) sum_bt v_bt, with the tokens of the whole batch: every token weighs the same."""
    return (value_BT * mask_BT).sum() / totals.tokens


def per_constant(value_BT: Tensor, mask_BT: Tensor, totals: Totals) -> Tensor:
    """1 / (B L) sum_bt v_bt, with L the longest length allowed: a token weighs the same in every batch
    (Dr. GRPO, arXiv 2503.20783)."""
    return (value_BT * mask_BT).sum() / (totals.sequences * totals.longest)


def per_sequence_sum(value_BT: Tensor, mask_BT: Tensor, totals: Totals) -> Tensor:
    """1/B sum_b sum_t v_bt: the log-prob of a completion is the sum over its tokens."""
    return (value_BT * mask_BT).sum() / totals.sequences


REDUCERS = {
    "per-sequence": per_sequence_mean,
    "per-token": per_token_mean,
    "constant": per_constant,
    "sum": per_sequence_sum,
}


def cross_entropy(logp_BT: Tensor, mask_BT: Tensor, totals: Totals) -> Tensor:
    """-1 / (sum_b |o_b|) sum_bt log pi(o_bt): the supervised loss in nats a token; a micro-batch gives its part."""
    return -per_token_mean(logp_BT, mask_BT, totals)
