"""The table of the lines of l1ra_study.py: python bench/l1ra_table.py bench/l1ra_sft.jsonl

The learning rate of an arm is the best on validation rows; its losses are those on test rows, at that learning rate.
An arm is said to be no worse than LoRA where its loss is shown to lie less than MARGIN above it."""

import json
import math
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import mean
from typing import Any

from planted_table import half_width

BASE = "lora"
MARGIN = 0.01
"""A share of LoRA's loss, declared before any run on test rows."""
TYPES = ("q", "k", "v", "o", "gate", "up", "down")

Line = dict[str, Any]
ByArm = dict[tuple[str, int], list[Line]]


def main() -> None:
    lines = [json.loads(text) for text in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()]
    tried, ended = (by_arm(line for line in lines if line["held_out"] == name) for name in ("validation", "test"))
    print("| arm, rank | validation loss by rate | test loss | log of loss / LoRA's | parameters | peak MB | ranks |")
    print("|---|---|---|---|---|---|---|")
    for (arm, rank), runs in tried.items():
        losses = {run["lr"]: run["loss"] for run in runs}
        row = [f"{arm}, {rank}", ", ".join(f"{lr:g}: {loss:.4f}" for lr, loss in sorted(losses.items()))]
        best = min(losses, key=lambda lr: losses[lr])
        print("| " + " | ".join([*row, *found(ended[arm, rank], ended[BASE, rank], best)]) + " |")


def by_arm(lines: Iterable[Line]) -> ByArm:
    arms: ByArm = defaultdict(list)
    for line in lines:
        arms[line["arm"], line["shape"]["rank"]].append(line)
    return arms


def found(runs: list[Line], base: list[Line], lr: float) -> list[str]:
    """The cells of an arm on test rows, at its learning rate; empty where it has no such run."""
    ended = [run for run in runs if run["lr"] == lr]
    if not ended:
        return [""] * 5
    sizes = [
        f"{mean(run[name] for run in ended):,.{digits}f}" for name, digits in (("parameters", 0), ("training_mb", 1))
    ]
    ranks = " ".join(f"{kind} {mean(run['ranks'].get(f'{kind}_proj', 0) for run in ended):.0f}" for kind in TYPES)
    return [f"{mean(run['loss'] for run in ended):.4f} ({len(ended)} seeds)", beside(ended, base), *sizes, ranks]


def beside(runs: list[Line], base: list[Line]) -> str:
    """The mean over seeds of the log of the ratio to LoRA of the same seed, half of its 95 % interval, and whether it
    is shown to lie below MARGIN."""
    if runs[0]["arm"] == BASE:
        return "0"
    of_base = {run["seed"]: run["loss"] for run in base}
    logs = [math.log(run["loss"] / of_base[run["seed"]]) for run in runs if run["seed"] in of_base]
    if len(logs) < 2:
        return " ".join(f"{log:+.4f}" for log in logs)
    half = half_width(logs)
    no_worse = ", no worse" if mean(logs) + half < math.log1p(MARGIN) else ""
    return f"{mean(logs):+.4f} ± {half:.4f}{no_worse}"


if __name__ == "__main__":
    main()
