"""Planted ranks, a benchmark with a known answer: students recover a teacher whose update has known ranks in known
modules, by KL on text and random tokens. Appends one JSON line a run to --out, and never makes a run twice.

python bench/planted.py --arms 'lora:2;l1ra;at:l1ra;shuffled:l1ra;oracle' --patterns scattered,null --seeds 0,1,2,3,4
python bench/planted_table.py bench/planted.jsonl
"""

import json
import random
import time
from argparse import ArgumentParser
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from measuring import machine
from paring.adapters.attach import parameters_by_name, published_parameters, ranks_of
from paring.adapters.kinds import L1ra, Lora
from paring.adapters.proposal import Spectrum, proposed_ranks
from paring.policy.model import Policy
from paring.policy.sensitivity import seen_by
from paring.training.optim import Adam, Optimiser, learning_rate
from paring.training.rank_events import gate_rule, rank_event
from planted_teacher import HELD_OUT, RANKS, Teacher, World, divergence, log_probs, packed_rows

RANK, STEPS = 2, 300
HELD_OUT_BATCHES = 3
TEST, PROBE, MAP = 20_000, 10_000, 30_000
"""Numbers of batches that no step of training draws."""


@dataclass
class Trained:
    """A student after its run. `peak`: the most parameters of A and B that it held."""

    student: Policy
    peak: int
    events: list[dict[str, int]] = field(default_factory=list)


def trained(world: World, teacher: Teacher, adapter: Lora | L1ra, ranks: dict[str, int] | None, lr: float) -> Trained:
    """A student of the adapter, at these ranks where they are given, trained towards the teacher."""
    student, seed = world.student(teacher.seed, adapter), teacher.seed
    for path, rank in (ranks or {}).items():
        student.adapters[path].resize(range(rank), student.adapters[path].A_RI[:0].detach())
    adam = Adam(lr=lr, warmup=10, schedule="cosine")
    optimiser = Optimiser(parameters_by_name(student.adapters), adam, gate_rule(adapter, STEPS))
    run = Trained(student, published_parameters(student.adapters))
    for step in range(1, STEPS + 1):
        batch = packed_rows(world.rows(seed, step))
        optimiser.zero_grad()
        divergence(teacher.log_probs(step, batch), log_probs(student, batch)).backward()
        optimiser.clip()
        optimiser.step(learning_rate(adam, step, STEPS))
        if isinstance(adapter, L1ra) and adapter.is_event(step, STEPS):
            probe = packed_rows(world.rows(seed, PROBE + step, HELD_OUT))
            event = rank_event(adapter, student, optimiser, probe, step=step, steps=STEPS, seed=seed)
            counts = {name: sum(getattr(event, name).values()) for name in ("closed", "pruned", "grown")}
            run.events.append({"step": step, **counts})
            run.peak = max(run.peak, published_parameters(student.adapters))
    return run


@torch.no_grad()
def held_out(world: World, teacher: Teacher, student: Policy) -> float:
    """KL(teacher || student) in nats a token, on batches that no student has seen."""
    total = 0.0
    for number in range(TEST, TEST + HELD_OUT_BATCHES):
        batch = packed_rows(world.rows(teacher.seed, number, HELD_OUT))
        total += float(divergence(teacher.log_probs(number, batch), log_probs(student, batch)))
    return total / HELD_OUT_BATCHES


def chosen_ranks(
    arm: str, teacher: Teacher, earlier: dict[str, dict[str, Any]], cost: dict[str, int]
) -> dict[str, int]:
    """The ranks of an arm that is LoRA at ranks of its own, within the parameters of LoRA of rank RANK."""
    name, _, source = arm.partition(":")
    budget, draw = RANK * sum(cost.values()), random.Random(teacher.seed)
    if name == "oracle":
        return scaled({path: float(rank) for path, rank in teacher.ranks.items()}, cost, budget)
    if name == "random":
        return scaled({path: draw.expovariate(1.0) for path in cost}, cost, budget)
    if name == "proposed":
        line = earlier[source]
        most = 8 * RANK
        spectra = {path: Spectrum(tuple(line["worth"][path]), line["null"][path], cost[path], most) for path in cost}
        return proposed_ranks(spectra, budget)
    ranks = dict(earlier[source]["ranks"])
    if name == "shuffled":  # among modules of the same size, so that the parameters stay the same
        for size in sorted(set(cost.values())):
            alike = [path for path in cost if cost[path] == size]
            ranks |= dict(zip(alike, draw.sample([ranks[path] for path in alike], len(alike)), strict=True))
    return ranks


def scaled(weight: dict[str, float], cost: dict[str, int], budget: int) -> dict[str, int]:
    """Ranks in proportion to the weights, as large as the budget allows."""
    best = dict.fromkeys(weight, 0)
    for number in range(1, 4000):
        ranks = {path: round(value * number / 100) for path, value in weight.items()}
        if sum(rank * cost[path] for path, rank in ranks.items()) <= budget:
            best = ranks
    return best


def one_run(world: World, teacher: Teacher, arm: str, lr: float, earlier: dict[str, dict[str, Any]]) -> dict[str, Any]:
    start, (name, _, value) = time.perf_counter(), arm.partition(":")
    adapter, ranks = Lora(rank=RANK, alpha=float(RANK)), None
    if name == "lora":
        adapter = Lora(rank=int(value), alpha=float(value))
    elif name == "l1ra":
        adapter = L1ra(rank=RANK, alpha=float(RANK), **json.loads(value or "{}"))
    else:
        ranks = chosen_ranks(arm, teacher, earlier, world.cost)
        adapter = Lora(rank=max(ranks.values()), alpha=float(max(ranks.values())))
    run = trained(world, teacher, adapter, ranks, lr)
    adapters = run.student.adapters
    seen = seen_by(run.student, packed_rows(world.rows(teacher.seed, MAP, HELD_OUT)), seed=teacher.seed)
    return {
        "arm": arm,
        "pattern": teacher.pattern,
        "equal": teacher.equal,
        "seed": teacher.seed,
        "lr": lr,
        "kl": held_out(world, teacher, run.student),
        "parameters": published_parameters(adapters),
        "peak": run.peak,
        "ranks": ranks_of(adapters),
        "planted": teacher.ranks,
        "map": {path: sum(one.worth_R()) if adapters[path].rank else 0.0 for path, one in seen.items()},
        "worth": {path: one.worth_R() if adapters[path].rank else () for path, one in seen.items()},
        "null": {path: one.null(adapters[path]) for path, one in seen.items()},
        "norm": {path: one.delta_norm() / float(one.dense_base().weight.norm()) for path, one in adapters.items()},
        "events": run.events,
        "seconds": time.perf_counter() - start,
    }


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--arms", default="lora:2;l1ra;at:l1ra;shuffled:l1ra;oracle;random", help="separated by ;")
    parser.add_argument("--patterns", default=",".join(RANKS))
    parser.add_argument("--equal", default="norm", help="norm, function, or both with a comma")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--lrs", default="0.02")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    world, made = World.opened(), {}
    if given.out.exists():
        for text in given.out.read_text(encoding="utf-8").splitlines():
            line = json.loads(text)
            if line["base"] != world.base:
                continue  # another base is another world
            made[line["arm"], line["pattern"], line["equal"], line["seed"], line["lr"]] = line
    for seed in map(int, given.seeds.split(",")):
        for pattern in given.patterns.split(","):
            for equal in given.equal.split(","):
                teacher = Teacher.planted(world, pattern, equal, seed)
                for lr in map(float, given.lrs.split(",")):
                    for arm in given.arms.split(";"):
                        key = (pattern, equal, seed, lr)
                        if (arm, *key) in made:
                            continue
                        earlier = {other: line for (other, *its), line in made.items() if tuple(its) == key}
                        line = made[arm, *key] = (
                            one_run(world, teacher, arm, lr, earlier) | {"base": world.base} | machine()
                        )
                        print(
                            f"{pattern} {equal} {seed} {arm}: KL {line['kl']:.4f}, {line['seconds']:.0f} s",
                            line["events"],
                            flush=True,
                        )
                        with given.out.open("a", encoding="utf-8") as file:
                            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
