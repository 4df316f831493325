"""The proof that a server answers as the policy does: a fixed prompt is continued there and scored here."""

import math
from dataclasses import dataclass

import torch
from pydantic import TypeAdapter

from paring.policy.model import Policy
from paring.policy.packing import packed
from paring.rollout.engine import EngineFailed
from paring.settings.complaints import NotFinite
from paring.types import Completion, Group, Json, Problem

LENGTH = 280
"""Tokens of the prompt, where the context has room: more than two blocks of keys and values of 128 tokens, the largest
that vLLM has, so that keys which it kept of another adapter show."""
TOKENS = 8
"""Tokens of the continuation."""


@dataclass(frozen=True)
class Continuation:
    """The likeliest continuation by a server, and the log-prob of each token in nats."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]

    def as_plain(self) -> Json:
        return {"tokens": list(self.tokens), "logprobs": list(self.logprobs)}

    @classmethod
    def from_plain(cls, plain: Json) -> "Continuation":
        """The inverse of `as_plain`, which a process of this run has called."""
        return TypeAdapter(cls).validate_python(plain, strict=False)


class WrongPolicy(EngineFailed):
    """A server answers as another policy than the one that was published."""


def canary_prompt(vocabulary: int, context: int) -> list[int]:
    """Ordinary tokens, spread over the vocabulary; special ones stand at its ends."""
    low, span = vocabulary // 10, max(1, vocabulary * 8 // 10)
    return [low + place * 97 % span for place in range(min(LENGTH, context - TOKENS))]


def canary_question(prompt: list[int]) -> dict[str, Json]:
    """The request that continues it, whatever ends an answer."""
    return {
        "prompt": prompt,
        "max_tokens": TOKENS,
        "temperature": 0,
        "logprobs": 0,
        "return_token_ids": True,
        "ignore_eos": True,
    }


@torch.no_grad()
def scored(policy: Policy, prompt: list[int], reply: Continuation) -> Continuation:
    """The same tokens with the policy's own log-probs. Raises NotFinite."""
    group = Group(Problem("canary", (), ""), tuple(prompt), (Completion(reply.tokens, (), "", False),))
    logprobs = policy.log_probs(packed([group], policy.device), temperature=1.0)[0].tolist()
    if not all(map(math.isfinite, logprobs)):
        raise NotFinite("the model's probabilities are not finite")
    return Continuation(reply.tokens, tuple(logprobs))


def gap(reply: Continuation, expected: Continuation) -> float:
    """The largest difference of log-probs, in nats, up to the first token that is another one. There, both are the
    likeliest by rounding alone, and so equally likely."""
    largest = 0.0
    for token, logprob, wanted, own in zip(
        reply.tokens, reply.logprobs, expected.tokens, expected.logprobs, strict=True
    ):
        largest = max(largest, abs(logprob - own))
        if token != wanted:
            break
    return largest


def check_gap(server: str, apart: float, tolerance: float) -> None:
    """Raises WrongPolicy where the difference is above the tolerance, both in nats."""
    if not apart <= tolerance:
        raise WrongPolicy(
            f"{server} answers as another policy: the log-probs of a test prompt differ by {apart:.3g} nats, and "
            f"{tolerance:g} are allowed (rollout.canary). It has another base, another adapter under the same name, or "
            "computes in another precision: bfloat16 needs rollout.canary=0.1"
        )
