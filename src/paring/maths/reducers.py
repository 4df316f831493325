"""From a value a token to one number: what the length of an answer weighs in an objective."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Reduce = Literal["per-sequence", "per-token", "constant", "sum"]


@dataclass(frozen=True)
class Totals:
    """Size of the whole batch of an update. A micro-batch divides by these, so its cut does not change the sum.

    Only the completions that the objective selects are counted; `longest` is the most tokens one may have."""

    sequences: int
    tokens: int
    longest: int = 1


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
