"""From the rewards of a group to what each of its completions is worth."""

from torch import Tensor


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
    if reward_PG.shape[-1] < 2:
        raise ValueError(f"a group of {reward_PG.shape[-1]}: the group's mean and spread need at least 2 completions")
    centred_PG = reward_PG - reward_PG.mean(-1, keepdim=True)
    spread_P1 = reward_PG.std(-1, correction=1, keepdim=True)
    return (centred_PG / (spread_P1 + epsilon)).masked_fill(without_signal(reward_PG)[:, None], 0.0)


def without_signal(reward_PG: Tensor) -> Tensor:
    """True for the groups whose rewards are all the same: bool [P]."""
    return (reward_PG == reward_PG[:, :1]).all(-1)
