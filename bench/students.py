"""Students of the benchmarks of ranks: an arm is an adapter, at ranks of its own if it has them, trained to a goal."""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from paring.adapters.attach import parameters_by_name, published_parameters, ranks_of
from paring.adapters.kinds import Adalora, Adapter, Allocated, Allocator, Gated, L1ra, L1raReference, Lora
from paring.adapters.proposal import Spectrum, proposed_ranks
from paring.policy.model import Policy
from paring.policy.packing import PackedBatch
from paring.policy.sensitivity import seen_by
from paring.training.optim import Adam, Optimiser, learning_rate
from paring.training.rank_events import gate_rule, rank_event, watch_of
from planted_teacher import World

RANK = 2
"""All arms end with at most the parameters of LoRA of this rank, if they do not state another."""
MOST = 8
"""A module is proposed at most so many times RANK."""

Line = dict[str, Any]


def lines_made(out: Path, world: World) -> list[Line]:
    """The lines of an earlier call that are of this base: another base is another world."""
    texts = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    return [line for line in map(json.loads, texts) if line["base"] == world.base]


class Goal(Protocol):
    """The lessons of a student, a function of their seed."""

    @property
    def seed(self) -> int: ...

    def loss(self, student: Policy, step: int) -> Tensor: ...

    def probe(self, step: int) -> PackedBatch:
        """Tokens that a rank event looks at."""
        ...


@dataclass
class Trained:
    """A student after its run. `peak`: the most parameters of A and B that it held."""

    student: Policy
    peak: int
    events: list[dict[str, int]] = field(default_factory=list)


def trained(world: World, goal: Goal, adapter: Adapter, ranks: Mapping[str, int], *, lr: float, steps: int) -> Trained:
    """A student of the adapter, at these ranks where they are given, trained to the goal."""
    student = world.student(goal.seed, adapter)
    for path, rank in ranks.items():
        student.adapters[path].resize(range(rank), student.adapters[path].A_RI[:0].detach())
    adam = Adam(lr=lr, warmup=10, schedule="cosine")
    named = parameters_by_name(student.adapters)
    optimiser = Optimiser(named, adam, gate_rule(adapter, steps), watch_of(adapter))
    run = Trained(student, published_parameters(student.adapters))
    for step in range(1, steps + 1):
        optimiser.zero_grad()
        goal.loss(student, step).backward()
        optimiser.clip()
        optimiser.step(learning_rate(adam, step, steps))
        if isinstance(adapter, Gated | Allocator) and adapter.is_event(step, steps):
            event = rank_event(adapter, student, optimiser, goal.probe(step), step=step, steps=steps, seed=goal.seed)
            counts = {name: sum(getattr(event, name).values()) for name in ("closed", "pruned", "grown")}
            run.events.append({"step": step, **counts})
            run.peak = max(run.peak, published_parameters(student.adapters))
    return run


def adapter_of(arm: str, ranks: Mapping[str, int]) -> Adapter:
    """`name` or `name:value`, at these ranks if any. The scale is 1 in all arms."""
    name, _, value = arm.partition(":")
    if ranks:
        return Lora(rank=max(ranks.values()), alpha=float(max(ranks.values())))
    if name == "lora":
        return Lora(rank=int(value), alpha=float(value))
    kinds = {"l1ra": L1ra, "l1ra-reference": L1raReference, "adalora": Adalora, "gradient": Allocated}
    return kinds[name](rank=RANK, alpha=float(RANK), **json.loads(value or "{}"))


def chosen_ranks(
    arm: str, seed: int, cost: Mapping[str, int], earlier: Mapping[str, Line], truth: Mapping[str, int]
) -> dict[str, int]:
    """The ranks of an arm that is LoRA at ranks of its own, within the parameters of LoRA of rank RANK; of another
    none. `earlier`: the lines of the arms that were run before on the same goal; `truth`: the ranks of the oracle."""
    name, _, source = arm.partition(":")
    budget, draw = RANK * sum(cost.values()), random.Random(seed)
    if name == "oracle":
        return scaled({path: float(rank) for path, rank in truth.items()}, cost, budget)
    if name == "random":
        return scaled({path: draw.expovariate(1.0) for path in cost}, cost, budget)
    if name == "proposed":
        worth, null, most = earlier[source]["worth"], earlier[source]["null"], MOST * RANK
        return proposed_ranks(
            {path: Spectrum(tuple(worth[path]), null[path], cost[path], most) for path in cost}, budget
        )
    if name not in ("at", "shuffled"):
        return {}
    ranks = dict(earlier[source]["ranks"])
    if name == "shuffled":  # among modules of the same size, so that the parameters stay the same
        for size in sorted(set(cost.values())):
            alike = [path for path in cost if cost[path] == size]
            ranks |= dict(zip(alike, draw.sample([ranks[path] for path in alike], len(alike)), strict=True))
    return ranks


def scaled(weight: Mapping[str, float], cost: Mapping[str, int], budget: int) -> dict[str, int]:
    """Ranks in proportion to the weights, as large as the budget allows."""
    best = dict.fromkeys(weight, 0)
    for number in range(1, 4000):
        ranks = {path: round(value * number / 100) for path, value in weight.items()}
        if sum(rank * cost[path] for path, rank in ranks.items()) <= budget:
            best = ranks
    return best


def described(run: Trained, tokens: PackedBatch, *, seed: int) -> Line:
    """The size of a student, its ranks, and the map of its updates on these tokens."""
    adapters = run.student.adapters
    seen = seen_by(run.student, tokens, seed=seed)
    worth = {path: one.worth_R() if adapters[path].rank else () for path, one in seen.items()}
    return {
        "parameters": published_parameters(adapters),
        "peak": run.peak,
        "ranks": ranks_of(adapters),
        "map": {path: sum(worth_R) for path, worth_R in worth.items()},
        "worth": worth,
        "null": {path: one.null(adapters[path]) for path, one in seen.items()},
        "norm": {path: one.delta_norm() / float(one.dense_base().weight.norm()) for path, one in adapters.items()},
        "events": run.events,
    }
