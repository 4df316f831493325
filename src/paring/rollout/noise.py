"""Randomness as an argument: the uniform numbers of a completion, and the token that each picks."""

from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from paring.rollout.engine import Sampling
from paring.types import Key


def uniforms(key: Key, problem_id: str, member: int, count: int) -> np.ndarray:
    """`count` numbers in [0, 1), a pure function of (seed, step, problem, member, position): float64.

    A counter-based generator (Philox, Salmon et al. 2011) needs no state, so nothing of it is saved, and neither the
    rows beside a completion nor the number of processes can change it. A longer draw begins with the shorter one."""
    problem = int.from_bytes(blake2b(problem_id.encode(), digest_size=8).digest())
    seeds = np.random.SeedSequence([key.seed, key.step, problem, key.member + member])
    bits = np.random.Philox(seeds).random_raw(count)
    return (bits >> np.uint64(11)) * 2.0**-53


SEGMENT = 128
"""Tokens of the vocabulary whose weights are summed before any running sum is taken."""


def draw(logit_BV: Tensor, uniform_B: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """One token a row by inverse CDF, and its log-prob at the sampling temperature before top-k and top-p.

    One uniform number turns into a token, where a multinomial draw would take V exponentials. Greedy (temperature 0)
    takes the likeliest and uses no noise; its log-prob is at temperature 1.

    Args:
        logit_BV: fp32 [B, V].
        uniform_B: fp32 or fp64 [B] in [0, 1).
    Returns:
        tokens int64 [B] and log-probs fp32 [B] in nats.
    """
    scaled_BV = logit_BV if sampling.temperature in (0, 1) else logit_BV / sampling.temperature
    peak_B1 = scaled_BV.amax(-1, keepdim=True)
    weight_BV = (scaled_BV - peak_B1).exp_()
    total_B1 = weight_BV.sum(-1, keepdim=True)
    if sampling.temperature == 0:
        token_B1 = logit_BV.argmax(-1, keepdim=True)
    else:
        token_B1 = _by_inverse_cdf(restricted(weight_BV, sampling), uniform_B)
    return token_B1[:, 0], (scaled_BV.gather(-1, token_B1) - peak_B1 - total_B1.log())[:, 0]


def _by_inverse_cdf(weight_BV: Tensor, uniform_B: Tensor) -> Tensor:
    """The first token up to which the weights hold more than u of their sum: int64 [B, 1].

    First the segment of the vocabulary, then the token within it: a running sum over all of V would cost more than the
    rest of the draw."""
    rows, tokens = weight_BV.shape
    if tokens % SEGMENT:
        weight_BV = functional.pad(weight_BV, (0, -tokens % SEGMENT))
    segment_BJW = weight_BV.view(rows, -1, SEGMENT)
    cdf_BJ = segment_BJW.sum(-1).cumsum(-1, dtype=torch.float64)
    threshold_B1 = uniform_B[:, None].double() * cdf_BJ[:, -1:]
    segment_B1 = _first_above(cdf_BJ, threshold_B1)
    within_BW = segment_BJW[torch.arange(rows, device=weight_BV.device), segment_B1[:, 0]].double()
    before_B1 = cdf_BJ.gather(-1, segment_B1) - within_BW.sum(-1, keepdim=True)
    token_B1 = segment_B1 * SEGMENT + _first_above(within_BW.cumsum(-1), threshold_B1 - before_B1)
    # NaN logits of a diverged policy lead past the vocabulary: any token will do, its log-prob is NaN.
    return token_B1.clamp(max=tokens - 1)


def _first_above(cdf_BW: Tensor, threshold_B1: Tensor) -> Tensor:
    """The first place at which the running sum exceeds the threshold. Rounding may put the threshold below 0 or lift
    it to the total, before the first or past the last place that has any weight."""
    total_B1 = cdf_BW[:, -1:]
    below_B1 = threshold_B1.clamp(min=0).minimum(total_B1.nextafter(torch.zeros_like(total_B1)))
    return torch.searchsorted(cdf_BW, below_B1, right=True).clamp(max=cdf_BW.shape[-1] - 1)


def restricted(prob_BV: Tensor, sampling: Sampling) -> Tensor:
    """Probabilities, or weights proportional to them, with 0 below `min_p` times the largest, outside the top k, and
    outside the smallest set that holds `top_p` of the mass that is left."""
    if sampling.min_p:
        least_B1 = sampling.min_p * prob_BV.amax(-1, keepdim=True)
        prob_BV = prob_BV.masked_fill(prob_BV < least_B1, 0.0)
    if sampling.top_k:
        least_B1 = prob_BV.topk(min(sampling.top_k, prob_BV.shape[-1]), dim=-1).values[:, -1:]
        prob_BV = prob_BV.masked_fill(prob_BV < least_B1, 0.0)
    if sampling.top_p < 1:
        sorted_BV, order_BV = prob_BV.sort(dim=-1, descending=True)
        before_BV = sorted_BV.cumsum(-1) - sorted_BV
        outside_BV = before_BV >= sampling.top_p * sorted_BV.sum(-1, keepdim=True)
        prob_BV = prob_BV.masked_fill(torch.zeros_like(outside_BV).scatter(-1, order_BV, outside_BV), 0.0)
    return prob_BV
