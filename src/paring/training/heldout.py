"""The loss on examples that are not trained on."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain

import torch

from paring.policy.model import Policy
from paring.policy.packing import Labelled, Shared, pack_examples, packed_tokens
from paring.settings.complaints import NotFinite
from paring.settings.declare import Count, CountOrZero, settings
from paring.training.passes import idle, in_passes
from paring.training.world import ALONE, World
from paring.types import Json

LARGEST_EXPONENT = 700.0
"""exp() of a larger loss would overflow."""


@settings
class EvaluateLoss:
    """The `evaluate` section of a supervised run: held-out examples before, after, and `every` so many steps."""

    every: CountOrZero = 0
    """0: only before and after."""
    limit: Count = 500
    """Held-out examples, at most."""


@dataclass(frozen=True)
class HeldOutLoss:
    """Mean -log pi of the learned tokens in nats, and its exponential."""

    examples: int
    tokens: int
    loss: float
    perplexity: float
    seconds: float

    def as_plain(self) -> dict[str, Json]:
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.loss:.4f} nats a token (perplexity {self.perplexity:.4g})"


@torch.no_grad()
def held_out_loss(
    policy: Policy, examples: Sequence[Labelled], *, tokens_per_pass: int, world: World = ALONE
) -> HeldOutLoss:
    """The loss of the policy, without dropout, summed in fp64, where each process of the world takes its share. Raises
    NotFinite."""
    start = time.perf_counter()
    mine = [examples[place] for place in world.mine(range(len(examples)))]

    parts = list(cut_examples(mine, tokens_per_pass, policy.tokens_held))
    idle_batches = idle(policy, world, len(parts))

    def summed() -> tuple[float, int]:
        total, tokens = 0.0, 0
        for batch in chain((pack_examples(part, policy.device) for part in parts), idle_batches):
            total -= float(policy.log_probs(batch, temperature=1.0).double().sum())
            tokens += len(batch.target_M)
        return total, tokens

    total, tokens = world.sum(*in_passes(policy, world, summed))
    loss, tokens = total / tokens, int(tokens)
    if not math.isfinite(loss):
        raise NotFinite("the loss on held-out examples is not finite")
    perplexity = math.exp(min(loss, LARGEST_EXPONENT))
    return HeldOutLoss(len(examples), tokens, loss, perplexity, time.perf_counter() - start)


def cut_examples(
    examples: Sequence[Labelled], tokens_per_pass: int, held: Callable[[Sequence[Shared]], int] = packed_tokens
) -> Iterator[list[Labelled]]:
    """Cut the examples into passes that hold at most `tokens_per_pass` tokens (a single example may take more)."""
    part: list[Labelled] = []
    for example in examples:
        if part and held([Shared(one.row, ()) for one in (*part, example)]) > tokens_per_pass:
            yield part
            part = []
        part.append(example)
    if part:
        yield part
