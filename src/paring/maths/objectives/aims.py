"""Objectives whose advantage follows another aim than the mean reward: MaxRL, PKPO, GDPO."""

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from paring.maths.advantages import Outcome, decoupled, over_the_mean, pass_at_k_gain
from paring.maths.objective import Objective, Reduce
from paring.maths.surrogates import ClipHigh, ClipLow, ClippedRatio
from paring.settings.declare import settings


@settings
class MaxRl(Objective):
    """Maximum-likelihood reinforcement learning: the group's mean divides, not its standard deviation
    (arXiv 2602.02710).

    loss = -1/B sum_b sum_t A_b log pi_bt,   A = (r - mean) / mean,   r = 1 right, 0 wrong

    A rare success weighs as much more as it is rare. Only whether the answer is right counts, form does not."""

    kind: Literal["maxrl"] = "maxrl"
    reduce: Reduce = "sum"

    def advantage(self, outcome: Outcome) -> Tensor:
        return over_the_mean(outcome.correct_PG.to(outcome.reward_PG.dtype))


@settings
class Pkpo(Objective):
    """Pass@k policy optimisation: the gradient of the best reward of k answers (arXiv 2505.15201, eq. 33).

    loss = -1/B sum_b sum_t A_b log pi_bt,   A_i = G / C(G, k) sum_{S contains i, |S| = k} [ max_S r - max_{S - i} r ]

    What an answer adds to the best of the others, over all choices of k of the group's G answers. k is at most G."""

    kind: Literal["pkpo"] = "pkpo"
    k: Annotated[int, Field(ge=2)] = 4
    reduce: Reduce = "sum"

    def advantage(self, outcome: Outcome) -> Tensor:
        return pass_at_k_gain(outcome.reward_PG, self.k)

    def check(self, group_size: int) -> None:
        if self.k > group_size:
            raise ValueError(f"objective.k = {self.k}: must be at most rollout.group_size = {group_size}")


@settings
class Gdpo(ClippedRatio):
    """GRPO for several rewards, each standardised by itself before they are summed (arXiv 2601.05242).

    loss = -1/B sum_b 1/|o_b| sum_t min[ rho_bt A_b, clip(rho_bt) A_b ]
    A = (S - mean over the batch of S) / std over the batch of S,   S_pg = sum_n (r_npg - mean_g r_np) / std_g r_np

    The rewards r_n are the parts of the task's reward, such as form and correctness; a weight of 0 in `rewards` leaves
    one out; other weights are taken off by its std, so that all parts weigh the same."""

    kind: Literal["gdpo"] = "gdpo"
    clip_low: ClipLow = 0.2
    clip_high: ClipHigh = 0.2

    def advantage(self, outcome: Outcome) -> Tensor:
        return decoupled(outcome)
