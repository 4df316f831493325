"""A policy by answers that it samples, beside its greedy ones: pass@k, entropy, KL and length."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain

import torch

from paring.evaluation.items import Item
from paring.evaluation.measuring import Evaluation, Rate
from paring.policy.model import Policy
from paring.policy.packing import pack
from paring.rollout.engine import Engine, Reproduces, Sampling
from paring.runtime.text import percent
from paring.training.config import Run
from paring.training.measures import k3_to_reference
from paring.training.passes import idle, in_passes
from paring.training.setup import Setup
from paring.training.update import cut
from paring.training.world import ALONE, World
from paring.types import Group, Json, Key, Problem


@dataclass(frozen=True)
class Sampled:
    """Answers to the test problems, drawn as a rollout draws them.

    samples   answers to each problem
    pass_at   by k, without bias (maths.repeated), each with its interval over the problems
    entropy   nats a token: the mean of -log pi of the tokens drawn
    kl        nats a token from the reference: the mean of k3 over the first answer to each problem
    length    tokens an answer; `truncated`: the share of answers that were cut off
    """

    samples: int
    temperature: float
    pass_at: Mapping[int, Rate]
    entropy: float
    kl: float
    length: float
    truncated: float

    def __str__(self) -> str:
        """`pass@1 36.0 %, pass@16 71.2 %`"""
        ends = sorted({min(self.pass_at), max(self.pass_at)})
        return ", ".join(f"pass@{k} {percent(self.pass_at[k].value)} %" for k in ends)

    def as_plain(self) -> dict[str, Json]:
        plain: dict[str, Json] = asdict(self)
        return plain | {"pass_at": {str(k): asdict(rate) for k, rate in self.pass_at.items()}}


Measured = Callable[..., tuple[Evaluation, list[Item]]]
"""`evaluation.measuring.measure` that lacks the engine and the way to sample alone."""


def sampled_part(run: Run, setup: Setup, measured: Measured, world: World) -> dict[str, Json]:
    """The `sampled` of an evaluation's record, as `evaluate.samples` asks; empty where that is 0."""
    return {"sampled": sampled(run, setup, measured, world).as_plain()} if run.evaluate.samples else {}


def sampled(run: Run, setup: Setup, measured: Measured, world: World) -> Sampled:
    """Sample and judge the answers; each process of the world its share."""
    heard, sampling, policy = Overheard(setup.measuring_engine(), []), run.rollout.sampling, setup.policy
    evaluation, _ = measured(heard, samples=run.evaluate.samples, sampling=sampling, key=Key(run.seed, 0))
    completions = [completion for group in heard.groups for completion in group.completions]
    surprise = -sum(sum(completion.logprobs) for completion in completions)
    passes = {"temperature": sampling.temperature, "tokens_per_pass": run.optimiser.tokens_per_pass}
    apart = _apart(policy, heard.groups, **passes, world=world)
    surprise, drawn, apart, firsts = world.sum(
        surprise,
        sum(completion.drawn for completion in completions),
        apart,
        sum(group.completions[0].drawn for group in heard.groups),
    )
    figures = {name: getattr(evaluation, name) for name in ("samples", "temperature", "length", "truncated")}
    pass_at = evaluation.pass_at or {1: Rate(evaluation.accuracy, *evaluation.interval)}  # of one answer a problem
    return Sampled(pass_at=pass_at, entropy=surprise / drawn, kl=apart / firsts, **figures)


@dataclass(frozen=True)
class Overheard:
    """An engine whose groups are kept, those of this process."""

    engine: Engine
    groups: list[Group]

    @property
    def reproduces(self) -> Reproduces:
        return self.engine.reproduces

    def publish(self) -> "Overheard":
        return Overheard(self.engine.publish(), self.groups)

    def sample(self, problems: Sequence[Problem], group_size: int, sampling: Sampling, key: Key) -> list[Group]:
        found = self.engine.sample(problems, group_size, sampling, key)
        self.groups.extend(replace(group, trace=None) for group in found)
        return found


def _apart(
    policy: Policy, groups: Sequence[Group], *, temperature: float, tokens_per_pass: int, world: World = ALONE
) -> float:
    """k3 of the policy to its reference, added up over the tokens of the first completion of each group, in nats."""
    if policy.is_its_reference:
        return 0.0
    firsts = [replace(group, completions=group.completions[:1]) for group in groups]
    every_PG = torch.ones(len(firsts), 1)
    parts = list(cut(firsts, every_PG, every_PG.bool(), tokens_per_pass, policy.tokens_held))
    batches = chain((pack(shared, policy.device) for shared, _, _ in parts), idle(policy, world, len(parts)))

    def added_up() -> float:
        total = 0.0
        for batch in batches:
            apart_BT, mask_BT = k3_to_reference(policy, batch, temperature)
            total += float((apart_BT * mask_BT).double().sum())
        return total

    return in_passes(policy, world, added_up)
