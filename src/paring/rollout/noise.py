"""Randomness as an argument: the uniform numbers of a completion, and the token that each picks."""

from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor

from paring.rollout.engine import Key, Sampling


def uniforms(key: Key, problem_id: str, member: int, count: int) -> np.ndarray:
    """`count` numbers in [0, 1), a pure function of (seed, step, problem, member, position): float64.

    A counter-based generator (Philox, Salmon et al. 2011) needs no state, so nothing of it is saved, and neither the
    rows beside a completion nor the number of processes can change it. A longer draw begins with the shorter one."""
    problem = int.from_bytes(blake2b(problem_id.encode(), digest_size=8).digest())
    seeds = np.random.SeedSequence([key.seed, key.step, problem, member])
    bits = np.random.Philox(seeds).random_raw(count)
    return (bits >> np.uint64(11)) * 2.0**-53


def draw(logit_BV: Tensor, uniform_B: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """One token a row by inverse CDF, and its log-prob at the sampling temperature before top-k and top-p.

    One uniform number turns into a token, where a multinomial draw would take V exponentials. Greedy (temperature 0)
    takes the likeliest and uses no noise; its log-prob is at temperature 1.

    Args:
        logit_BV: fp32 [B, V].
        uniform_B: fp32 [B] in [0, 1).
    Returns:
        tokens int64 [B] and log-probs fp32 [B] in nats.
    """
    prob_BV = torch.softmax(logit_BV / (sampling.temperature or 1.0), dim=-1)
    if sampling.temperature == 0:
        token_B1 = logit_BV.argmax(-1, keepdim=True)
    else:
        cdf_BV = restricted(prob_BV, sampling).cumsum(-1)
        total_B1 = cdf_BV[:, -1:]
        # Rounding may lift the threshold to the total, past the last token that has any probability.
        threshold_B1 = (uniform_B[:, None] * total_B1).minimum(total_B1.nextafter(torch.zeros_like(total_B1)))
        # NaN logits of a diverged policy lead past the vocabulary: any token will do, its log-prob is NaN.
        token_B1 = torch.searchsorted(cdf_BV, threshold_B1, right=True).clamp(max=logit_BV.shape[-1] - 1)
    return token_B1[:, 0], prob_BV.gather(-1, token_B1)[:, 0].log()


def restricted(prob_BV: Tensor, sampling: Sampling) -> Tensor:
    """The probabilities with 0 outside the top k and outside the smallest set that holds `top_p` of the mass."""
    if sampling.top_k:
        least_B1 = prob_BV.topk(min(sampling.top_k, prob_BV.shape[-1]), dim=-1).values[:, -1:]
        prob_BV = prob_BV.masked_fill(prob_BV < least_B1, 0.0)
    if sampling.top_p < 1:
        sorted_BV, order_BV = prob_BV.sort(dim=-1, descending=True)
        before_BV = sorted_BV.cumsum(-1) - sorted_BV
        outside_BV = before_BV >= sampling.top_p * sorted_BV.sum(-1, keepdim=True)
        prob_BV = prob_BV.masked_fill(torch.zeros_like(outside_BV).scatter(-1, order_BV, outside_BV), 0.0)
    return prob_BV
