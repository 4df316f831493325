"""How far apart the log-probs of what samples and of what trains are, where a base does not compute in fp32."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from paring.policy.model import Policy
from paring.policy.packing import packed
from paring.rollout.engine import Engine, Sampling
from paring.types import Key, Problem

PROBLEMS, ANSWERS, TOKENS = 2, 2, 16
"""The most that the probe takes: problems, answers to each, tokens of an answer."""


@dataclass(frozen=True)
class SamplingGap:
    """|log pi| of a rollout less that of a training pass, over the tokens of a few answers: nats a token."""

    mean: float
    largest: float
    tokens: int

    def __str__(self) -> str:
        return (
            f"sampling and training differ by {self.mean:.2g} nats a token, {self.largest:.2g} at most, in "
            f"{self.tokens} tokens of a probe; old log-probs come from training"
        )


def is_exact(policy: Policy) -> bool:
    """Whether sampling and training compute in fp32 with the same weights, so that they differ by rounding alone."""
    quantised = [getattr(policy.model, f"is_loaded_in_{bits}bit", False) for bits in (4, 8)]
    return policy.model.dtype == torch.float32 and not any(quantised)


@torch.no_grad()
def sampling_gap(engine: Engine, policy: Policy, problems: Sequence[Problem], longest: int) -> SamplingGap:
    """The gap on answers to the first problems, of `longest` tokens at most. The engine samples from the policy."""
    sampling = Sampling(max_new_tokens=min(TOKENS, longest))
    groups = engine.sample(problems[:PROBLEMS], ANSWERS, sampling, Key(0, 0))
    batch = packed(groups, policy.device)
    trained_BT = policy.log_probs(batch, temperature=1.0)
    completions = [completion for group in groups for completion in group.completions]
    apart = [
        abs(one - other)
        for completion, row_T in zip(completions, trained_BT.tolist(), strict=True)
        for one, other in zip(completion.logprobs, row_T, strict=False)
    ]
    return SamplingGap(sum(apart) / len(apart), max(apart), len(apart))
