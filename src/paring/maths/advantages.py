"""From what became of a rollout to what each of its completions is worth."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import comb
from typing import Literal

import torch
from torch import Tensor

RawReward = Literal["task", "correct", "signed"]
Std = bool | Literal["batch"]
"""Whether a standard deviation divides: that of the group, or of all rewards of the batch."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of the G completions of P problems.

    reward_PG: float64, as the task gives it, weighted by `rewards`. correct_PG: bool, whether the answer is right.
    length_PG: int64, tokens. longest: the most tokens that a completion may have. ended_PG: bool, whether a completion
    came to its end and was not cut off; None: they all did. parts_PG: the weighted parts of the reward by name."""

    reward_PG: Tensor
    correct_PG: Tensor
    length_PG: Tensor
    longest: int
    ended_PG: Tensor | None = None
    parts_PG: Mapping[str, Tensor] = field(default_factory=dict)


def standardised(reward_PG: Tensor, *, epsilon: float = 1e-4) -> Tensor:
    """A_pg = (r_pg - mean_g r) / (std_g r + epsilon)      (arXiv 2603.18756, sec. 3; DeepSeekMath, arXiv 2402.03300)

    The standard deviation divides by G - 1 (ddof = 1). The papers state neither ddof nor epsilon; these are the
    usual ones. A group whose rewards are all equal has no signal: its advantages are exactly 0, not rounding noise
    over epsilon.

    Args:
        reward_PG: rewards, float [P, G] with G >= 2.
        epsilon: added to the standard deviation, in units of reward.
    Returns:
        advantages [P, G], without unit.
    """
    return centred(reward_PG) / (reward_PG.std(-1, correction=1, keepdim=True) + epsilon)


def centred(reward_PG: Tensor) -> Tensor:
    """A_pg = r_pg - mean_g r, exactly 0 in a group whose rewards are all equal (Dr. GRPO, arXiv 2503.20783)."""
    if reward_PG.shape[-1] < 2:
        raise ValueError(f"a group of {reward_PG.shape[-1]}: the group's mean and spread need at least 2 completions")
    centred_PG = reward_PG - reward_PG.mean(-1, keepdim=True)
    return centred_PG.masked_fill(without_signal(reward_PG)[:, None], 0.0)


def group_relative(reward_PG: Tensor, *, std: Std, epsilon: float = 1e-4) -> Tensor:
    """Standardised, or only centred; with "batch" divided by the standard deviation of all rewards of the batch, so
    that a group of little spread is not blown up (arXiv 2508.08221; TRL's scale_rewards = "batch")."""
    if std == "batch":
        return centred(reward_PG) / (reward_PG.std(correction=1) + epsilon)
    return standardised(reward_PG) if std else centred(reward_PG)


def leave_one_out(reward_PG: Tensor) -> Tensor:
    """A_pg = r_pg - 1/(G-1) sum_{h != g} r_ph = G/(G-1) (r_pg - mean_g r)      (RLOO, arXiv 2402.14740)"""
    group_size = reward_PG.shape[-1]
    return centred(reward_PG) * (group_size / (group_size - 1))


def over_the_mean(correct_PG: Tensor) -> Tensor:
    """A_pg = (r_pg - mean_g r) / mean_g r of rewards of 1 and 0; 0 in a group without a right answer
    (MaxRL, arXiv 2602.02710)."""
    mean_P1 = correct_PG.mean(-1, keepdim=True)
    return centred(correct_PG) / torch.where(mean_P1 > 0, mean_P1, 1.0)


def pass_at_k_gain(reward_PG: Tensor, k: int) -> Tensor:
    """A_i = G / C(G, k) sum_{S contains i, |S| = k} [ max_S r - max_{S - i} r ]      (PKPO, arXiv 2505.15201, eq. 33)

    Only a choice of i and k - 1 answers below it counts: with the others in rising order, 0-based,
    A_i = G / C(G, k) sum_{j < i} C(j, k - 2) (r_i - r_j). Never negative. k is from 2 to G."""
    size = reward_PG.shape[-1]
    rising_PG, order_PG = reward_PG.sort(dim=-1, stable=True)
    ways_G = torch.tensor([comb(place, k - 2) for place in range(size)], dtype=reward_PG.dtype)
    over_PGG = (rising_PG[:, :, None] - rising_PG[:, None, :]).tril()
    gain_PG = (over_PGG * ways_G).sum(-1) * (size / comb(size, k))
    return torch.empty_like(gain_PG).scatter(-1, order_PG, gain_PG)


def decoupled(outcome: Outcome, *, epsilon: float = 1e-4) -> Tensor:
    """Each part of the reward standardised in its group, their sum divided by its standard deviation over the batch,
    whose mean is 0 (GDPO, arXiv 2601.05242); exactly 0 where all groups are without signal. Standardising takes a
    weight off a part, but for 0, which leaves it out. A reward without parts is its only part."""
    parts_PG = list(outcome.parts_PG.values()) or [outcome.reward_PG]
    total_PG = sum(map(standardised, parts_PG), torch.zeros_like(parts_PG[0]))
    return total_PG / (total_PG.std(correction=1) + epsilon)


def positive_part(advantage_PG: Tensor) -> Tensor:
    """max(A_pg, 0): what is worse than its group is left as it is."""
    return advantage_PG.clamp(min=0.0)


def raw(outcome: Outcome, reward: RawReward) -> Tensor:
    """r_pg without any baseline: "task" as the task gives it, "correct" 1 for right and 0 for wrong, "signed" 1 and
    -1. The last two know nothing of format or other parts."""
    correct_PG = outcome.correct_PG.to(outcome.reward_PG.dtype)
    return {"task": outcome.reward_PG, "correct": correct_PG, "signed": 2 * correct_PG - 1}[reward]


def best_of_group(reward_PG: Tensor, ties: Literal["first", "all"]) -> Tensor:
    """True for the completions of the highest reward of their group: of several the first, or all. bool [P, G]."""
    best_PG = reward_PG == reward_PG.amax(-1, keepdim=True)
    if ties == "first":
        best_PG &= best_PG.cumsum(-1) == 1
    return best_PG


def rescaled_for_silent_groups(advantage_PG: Tensor, reward_PG: Tensor) -> Tensor:
    """alpha A_pg with alpha = B / (B - M), M of the B completions being in groups without signal: the mean is over
    those that teach something (GPG, arXiv 2504.02546)."""
    with_signal = ~without_signal(reward_PG)
    return advantage_PG * (len(reward_PG) / max(1, int(with_signal.sum())))


def soft_overlong(length_PG: Tensor, *, longest: int, share: float) -> Tensor:
    """The penalty of long answers, 0 to -1: 0 up to L_max - L_c tokens, ((L_max - L_c) - |o|) / L_c beyond, where
    L_c = share L_max. (DAPO, arXiv 2503.14476, with L_max = 20,480 and L_c = 4,096: a share of 0.2.)"""
    if share == 0:
        return torch.zeros_like(length_PG, dtype=torch.float64)
    cache = share * longest
    return ((longest - cache - length_PG.double()) / cache).clamp(-1.0, 0.0)


def mixed(correct_PG: Tensor) -> Tensor:
    """True for the groups of which some answers are right and some wrong: bool [P]."""
    return correct_PG.any(-1) & ~correct_PG.all(-1)


def without_signal(reward_PG: Tensor) -> Tensor:
    """True for the groups whose rewards are all the same: bool [P]."""
    return (reward_PG == reward_PG[:, :1]).all(-1)
