"""From what became of a rollout to what each of its completions is worth."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

RawReward = Literal["task", "correct", "signed"]


@dataclass(frozen=True)
class Outcome:
    """The outcome of the G completions of P problems.

    reward_PG: float64, as the task gives it, weighted by `rewards`. correct_PG: bool, whether the answer is right.
    length_PG: int64, tokens. longest: the most tokens that a completion may have."""

    reward_PG: Tensor
    correct_PG: Tensor
    length_PG: Tensor
    longest: int


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


def group_relative(reward_PG: Tensor, *, std: bool) -> Tensor:
    """Standardised, or only centred."""
    return standardised(reward_PG) if std else centred(reward_PG)


def leave_one_out(reward_PG: Tensor) -> Tensor:
    """A_pg = r_pg - 1/(G-1) sum_{h != g} r_ph = G/(G-1) (r_pg - mean_g r)      (RLOO, arXiv 2402.14740)"""
    group_size = reward_PG.shape[-1]
    return centred(reward_PG) * (group_size / (group_size - 1))


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
