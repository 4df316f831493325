"""A request for completions, and what a server answers, checked: anything may stand there."""

from collections.abc import Sequence
from hashlib import blake2b
from sys import float_info

from paring.rollout.engine import Sampling
from paring.rollout.served.canary import Continuation
from paring.rollout.stopping import Stops
from paring.runtime.client import Malformed, field_of, plain
from paring.types import Json, JsonObject, Key, Problem

MOST_A_TOKEN = 1000
"""Bytes of an answer for each of its tokens, at most: its text, its number, its log-prob."""
ABOVE_ZERO = 1e-3
"""The log-prob of a token that is certain may be above 0 by rounding."""


def completion_question(
    prompt: Sequence[int], count: int, sampling: Sampling, seed: int, ends: frozenset[int]
) -> JsonObject:
    """The request for `count` completions. vLLM draws member i of them by seed + i."""
    whole: dict[str, Json] = {"logprobs": 0, "return_token_ids": True, "stop_token_ids": sorted(ends), "seed": seed}
    how = {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k}
    stop: dict[str, Json] = {"stop": list(sampling.stop)} if sampling.stop else {}
    return {"prompt": list(prompt), "n": count, "max_tokens": sampling.max_new_tokens, **how, **whole, **stop}


def seed_of(key: Key, problem: Problem, group_size: int) -> int:
    """62 bits and more for the first of the answers to a problem, a function of (seed, step, problem, member); a step
    of fewer or other problems changes none of them."""
    again = f" {problem.draw}" if problem.draw else ""  # drawn again in a step: sampled anew
    digest = blake2b(f"{key.seed} {key.step} {problem.id}{again}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest) >> 2) + problem.members(group_size).start


def replies(content: bytes, *, count: int, vocabulary: int, most: int) -> list[Continuation]:
    """`count` answers of 1 to `most` tokens each, in their order. Raises Malformed for anything else."""
    choices = field_of(plain(content), "choices", list)
    if len(choices) != count:
        raise Malformed(f"{len(choices)} answers in place of {count}")
    by_place = {field_of(choice, "index", int): choice for choice in choices}
    if sorted(by_place) != list(range(count)):
        raise Malformed("answers that are numbered wrongly")
    return [_reply(by_place[place], vocabulary, most) for place in range(count)]


def _reply(choice: object, vocabulary: int, most: int) -> Continuation:
    tokens = field_of(choice, "token_ids", list)
    logprobs = field_of(field_of(choice, "logprobs", dict), "token_logprobs", list)
    if not 1 <= len(tokens) <= most or len(logprobs) != len(tokens):
        raise Malformed(f"an answer of {len(tokens)} tokens with {len(logprobs)} log-probs; 1 to {most} were asked for")
    if not all(type(token) is int and 0 <= token < vocabulary for token in tokens):
        raise Malformed("tokens that the model does not have")
    if not all(type(one) in (int, float) and -float_info.max <= one <= ABOVE_ZERO for one in logprobs):
        raise Malformed("log-probs that are not finite numbers below 0")
    return Continuation(tuple(tokens), tuple(min(0.0, float(one)) for one in logprobs))


def up_to_its_end(reply: Continuation, most: int, ends: frozenset[int], stops: Stops | None) -> Continuation:
    """The answer up to the token that ends it: one of `ends`, or what completes a stop string. Raises Malformed where
    it goes on after an end, or stops without one before its `most` tokens."""
    length = None if stops is None else stops.length(reply.tokens, 0)
    tokens, logprobs = reply.tokens[:length], reply.logprobs[:length]
    is_ended = length is not None or tokens[-1] in ends or len(tokens) == most
    if not is_ended or not ends.isdisjoint(tokens[:-1]):
        raise Malformed(f"an answer of {len(tokens)} tokens that stops without an end, or goes on after it")
    return Continuation(tokens, logprobs)
