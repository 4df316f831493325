"""The tokens of a batch that stand out: by the entropy at them, or by the covariance of log-prob and advantage."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TokensOfBatch:
    """All M tokens that a step of the optimiser learns from, however it is cut into passes.

    logp_M: log-probs of the policy before the step; old_M: of the one that sampled. advantage_M: of their completion.
    entropy_M: exact, in nats; None where the objective does not ask for it."""

    logp_M: Tensor
    old_M: Tensor
    advantage_M: Tensor
    entropy_M: Tensor | None = None

    @property
    def covariance_M(self) -> Tensor:
        """(log pi_m - mean log pi) (A_m - mean A): its mean is the covariance by which a step of the policy gradient
        lowers the entropy (arXiv 2505.22617)."""
        return (self.logp_M - self.logp_M.mean()) * (self.advantage_M - self.advantage_M.mean())


ROUNDING = 1e-4
"""Values that differ by less, as a share of the largest, are equal: the first tokens of a group have one context, but
the rounding of their entropies depends on the pass that they are in."""


def highest(value_M: Tensor, share: float) -> Tensor:
    """The share of the largest values, one at least, with all that rounding may tell from the smallest: bool [M]."""
    if not len(value_M):
        return torch.zeros_like(value_M, dtype=torch.bool)
    count = min(len(value_M), max(1, math.ceil(share * len(value_M))))
    return value_M >= value_M.topk(count).values[-1] - ROUNDING * value_M.abs().max()


def some_of(candidate_M: Tensor, count: int) -> Tensor:
    """So many of the candidates at random, by torch's generator of the CPU; all where they are fewer: bool [M]."""
    places = candidate_M.nonzero()[:, 0]
    drawn = torch.randperm(len(places))[:count].to(places.device)
    return torch.zeros_like(candidate_M).index_fill_(0, places[drawn], True)
