"""Planted ranks, a benchmark with a known answer: students recover a teacher whose update has known ranks in known
modules, by KL on text and random tokens. Appends one JSON line a run to --out, and never makes a run twice.

python bench/planted.py --arms 'lora:2;l1ra;at:l1ra;shuffled:l1ra;oracle' --patterns scattered,null --seeds 0,1,2,3,4
python bench/planted.py --arms 'lora:2@0.02;l1ra@0.04;at:l1ra@0.01' --seeds 0,1     # each at a learning rate of its own
python bench/planted_table.py bench/planted.jsonl
"""

import json
import time
from argparse import ArgumentParser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from measuring import machine
from paring.policy.model import Policy
from paring.policy.packing import PackedBatch
from planted_teacher import HELD_OUT, RANKS, Teacher, World, divergence, log_probs, packed_rows
from students import Line, adapter_of, chosen_ranks, described, lines_made, trained

STEPS = 300
HELD_OUT_BATCHES = 3
TEST, PROBE, MAP = 20_000, 10_000, 30_000
"""Numbers of batches that no step of training draws."""


@dataclass(frozen=True)
class Lessons:
    """The lessons of a teacher: its distribution on text and random tokens."""

    world: World
    teacher: Teacher

    @property
    def seed(self) -> int:
        return self.teacher.seed

    def loss(self, student: Policy, step: int) -> Tensor:
        batch = packed_rows(self.world.rows(self.seed, step))
        return divergence(self.teacher.log_probs(step, batch), log_probs(student, batch))

    def probe(self, step: int) -> PackedBatch:
        return packed_rows(self.world.rows(self.seed, PROBE + step, HELD_OUT))

    @torch.no_grad()
    def held_out(self, student: Policy) -> float:
        """KL(teacher || student) in nats a token, on batches that no student has seen."""
        total = 0.0
        for number in range(TEST, TEST + HELD_OUT_BATCHES):
            batch = packed_rows(self.world.rows(self.seed, number, HELD_OUT))
            total += float(divergence(self.teacher.log_probs(number, batch), log_probs(student, batch)))
        return total / HELD_OUT_BATCHES


def one_run(world: World, teacher: Teacher, arm: str, *, lr: float, steps: int, earlier: dict[str, Line]) -> Line:
    start, lessons = time.perf_counter(), Lessons(world, teacher)
    ranks = chosen_ranks(arm, teacher.seed, world.cost, earlier, teacher.ranks)
    run = trained(world, lessons, adapter_of(arm, ranks), ranks, lr=lr, steps=steps)
    tokens = packed_rows(world.rows(teacher.seed, MAP, HELD_OUT))
    return {
        "arm": arm,
        "pattern": teacher.pattern,
        "equal": teacher.equal,
        "seed": teacher.seed,
        "lr": lr,
        "steps": steps,
        "kl": lessons.held_out(run.student),
        "planted": teacher.ranks,
        **described(run, tokens, seed=teacher.seed),
        "seconds": time.perf_counter() - start,
    }


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    every = "lora:2;l1ra;at:l1ra;shuffled:l1ra;oracle;random"
    parser.add_argument("--arms", default=every, help="separated by ;; ARM, or ARM@LR")
    parser.add_argument("--patterns", default=",".join(RANKS))
    parser.add_argument("--equal", default="norm", help="norm, function, or both with a comma")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--lrs", default="0.02")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    arms = {arm: float(lr) if lr else None for arm, _, lr in (text.partition("@") for text in given.arms.split(";"))}
    world = World.opened()
    made: dict[tuple[Any, ...], Line] = {
        tuple(line[name] for name in ("arm", "pattern", "equal", "seed", "lr")): line
        for line in lines_made(given.out, world)
        if line.get("steps", STEPS) == given.steps
    }
    for seed in map(int, given.seeds.split(",")):
        for pattern in given.patterns.split(","):
            for equal in given.equal.split(","):
                teacher = Teacher.planted(world, pattern, equal, seed)
                for lr in map(float, given.lrs.split(",")):
                    keys = {arm: (arm, pattern, equal, seed, own or lr) for arm, own in arms.items()}
                    for arm, key in keys.items():
                        if key in made:
                            continue
                        earlier = {other: made[its] for other, its in keys.items() if its in made}
                        line = one_run(world, teacher, arm, lr=key[-1], steps=given.steps, earlier=earlier)
                        made[key] = line = line | {"base": world.base} | machine()
                        print(
                            f"{pattern} {equal} {seed} {arm}: KL {line['kl']:.4f}, {line['seconds']:.0f} s",
                            line["events"],
                            flush=True,
                        )
                        with given.out.open("a", encoding="utf-8") as file:
                            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
