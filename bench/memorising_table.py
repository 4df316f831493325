"""The table of memorising.py's runs: each arm's loss against that of LoRA of the same seed.

python bench/memorising_table.py bench/memorising.jsonl --tuning 100,101     # the best learning rate by arm, on these
"""

import json
import math
from argparse import ArgumentParser
from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import Any

from planted_table import BASE, interval

Losses = dict[str, dict[float, dict[int, float]]]


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--tuning", default="100,101", help="the seeds that choose the learning rate")
    parser.add_argument("--pairs", type=int, default=256)
    given = parser.parse_args()
    tuning = {int(seed) for seed in given.tuning.split(",")}
    losses: Losses = defaultdict(lambda: defaultdict(dict))
    size: dict[str, Any] = {}
    for text in given.file.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        if line["pairs"] == given.pairs:
            losses[line["arm"]][line["lr"]][line["seed"]] = line["loss"]
            size[line["arm"]] = line["parameters"]
    print("arm | parameters | learning rate | by tuning: loss at each | seeds | loss | log of loss / LoRA's")
    base = final(losses[BASE], tuning)[1]
    for arm, by_lr in losses.items():
        tried = {
            lr: mean(loss for seed, loss in by_seed.items() if seed in tuning)
            for lr, by_seed in tried_of(by_lr, tuning)
        }
        lr, found = final(by_lr, tuning)
        both = sorted(found.keys() & base.keys())
        logs = [math.log(found[seed] / base[seed]) for seed in both]
        shown = " ".join(f"{lr:g}: {loss:.3f}" for lr, loss in sorted(tried.items()))
        cells = [arm, str(size[arm]), f"{lr:g}", shown, str(len(both))]
        cells += [f"{mean(found[seed] for seed in both):.3f}", interval(logs)] if both else ["-", "-"]
        print(" | ".join(cells))


def tried_of(by_lr: dict[float, dict[int, float]], tuning: set[int]) -> list[tuple[float, dict[int, float]]]:
    return [(lr, by_seed) for lr, by_seed in by_lr.items() if by_seed.keys() & tuning]


def final(by_lr: dict[float, dict[int, float]], tuning: set[int]) -> tuple[float, dict[int, float]]:
    """The learning rate of the final runs, and their losses by seed."""
    for lr, by_seed in by_lr.items():
        if found := {seed: loss for seed, loss in by_seed.items() if seed not in tuning}:
            return lr, found
    return next(iter(by_lr)), {}


if __name__ == "__main__":
    main()
