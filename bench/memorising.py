"""Memorising, a benchmark where rank binds: students learn pairs of random tokens by heart, and the loss on those pairs
says what the adapter could hold. Appends one JSON line a run to --out, and never makes a run twice.

python bench/memorising.py --arms 'lora:2;l1ra;at:l1ra;shuffled:l1ra;adalora;gradient' --seeds 0,1,2,3,4 --out FILE
"""

import json
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import torch

from measuring import machine
from pairs import Pairs
from peft_arms import peft_run
from planted_teacher import World
from students import Line, adapter_of, chosen_ranks, described, lines_made, trained


def one_run(world: World, pairs: Pairs, arm: str, *, lr: float, steps: int, earlier: dict[str, Line]) -> Line:
    start, (name, _, value) = time.perf_counter(), arm.partition(":")
    if name == "peft":
        return peft_run(pairs, value, lr=lr, steps=steps) | {"seconds": time.perf_counter() - start}
    ranks = chosen_ranks(arm, pairs.seed, world.cost, earlier, {})
    run = trained(world, pairs, adapter_of(arm, ranks), ranks, lr=lr, steps=steps)
    found = described(run, pairs.probe(0), seed=pairs.seed) | pairs.measured(run.student)
    return found | {"seconds": time.perf_counter() - start}


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--arms", default="lora:2;l1ra;at:l1ra;shuffled:l1ra", help="separated by ;")
    parser.add_argument("--pairs", type=int, default=256)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--lrs", default="0.02")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    world = World.opened()
    made: dict[tuple[Any, ...], Line] = {
        tuple(line[name] for name in ("arm", "pairs", "steps", "seed", "lr")): line
        for line in lines_made(given.out, world)
    }
    for seed in map(int, given.seeds.split(",")):
        pairs = Pairs.drawn(given.pairs, world.policy.model.config.vocab_size, seed)
        for lr in map(float, given.lrs.split(",")):
            for arm in given.arms.split(";"):
                key = {"pairs": given.pairs, "steps": given.steps, "seed": seed, "lr": lr}
                if (arm, *key.values()) in made:
                    continue
                earlier = {other: line for (other, *its), line in made.items() if its == list(key.values())}
                line = one_run(world, pairs, arm, lr=lr, steps=given.steps, earlier=earlier)
                made[arm, *key.values()] = line = {"arm": arm, **key, **line, "base": world.base} | machine()
                shown = f"loss {line['loss']:.4f}, {line['parameters']} parameters, {line['seconds']:.0f} s"
                print(f"{given.pairs} pairs, seed {seed}, lr {lr:g}, {arm}: {shown}", line["events"], flush=True)
                with given.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
