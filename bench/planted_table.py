"""The table of planted.py's runs: what each arm takes of the oracle's gain over LoRA of its size, and its map.

python bench/planted_table.py bench/planted.jsonl
python bench/planted_table.py bench/planted.jsonl --base lora:3  # the gains over LoRA of rank 3
python bench/planted_table.py bench/planted_lr.jsonl --by-lr     # mean log KL of each arm at each learning rate"""

import json
import math
from argparse import ArgumentParser
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from paring.maths.estimates import t_quantile
from paring.ranks.reading import NULL_POWER
from planted_teacher import World

BASE = "lora:2"


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--by-lr", action="store_true")
    parser.add_argument("--base", default=BASE, help="the arm that gains are counted from")
    given = parser.parse_args()
    lines = [json.loads(text) for text in given.file.read_text(encoding="utf-8").splitlines()]
    if given.by_lr:
        by_lr(lines)
        return
    worlds: dict[tuple[str, str, str], dict[int, dict[str, dict[str, Any]]]] = defaultdict(lambda: defaultdict(dict))
    for line in lines:
        worlds[line["base"], line["pattern"], line["equal"]][line["seed"]][line["arm"]] = line
    gain = f"log KL to {given.base} | share of the oracle's gain"
    print(f"base | pattern | equal | arm | teachers | {gain} | AUC: KL | need | KL / null | ranks")
    pooled: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for (base, pattern, equal), seeds in worlds.items():
        for arm in dict.fromkeys(arm for arms in seeds.values() for arm in arms):
            best = given.base if pattern == "null" else "oracle"
            both = [arms for arms in seeds.values() if {arm, given.base, best} <= arms.keys()]
            if not both:
                continue
            gains = [math.log(arms[given.base]["kl"] / arms[arm]["kl"]) for arms in both]
            oracle = [math.log(arms[given.base]["kl"] / arms[best]["kl"]) for arms in both]
            share = ratio_of_sums(gains, oracle) if pattern != "null" else "-"
            areas = [auc(arms[arm]["map"], arms[arm]["planted"]) for arms in both]
            needs = [auc(over_null(arms[arm], NULL_POWER), arms[arm]["planted"]) for arms in both]
            ratios = [auc(over_null(arms[arm], 1), arms[arm]["planted"]) for arms in both]
            ranks = [auc(arms[arm]["ranks"], arms[arm]["planted"]) for arms in both]
            row = [base, pattern, equal, arm, str(len(both)), interval([-gain for gain in gains]), share]
            print(" | ".join([*row, average(areas), average(needs), average(ratios), average(ranks)]))
            if pattern != "null":
                pooled[arm] += zip(gains, oracle, strict=True)
        if pattern == "null":
            types(seeds, given.base)
    for arm, pairs in pooled.items():
        gains, oracle = map(list, zip(*pairs, strict=True))
        pool = [interval([-gain for gain in gains]), ratio_of_sums(gains, oracle)]
        print(" | ".join(["all but null", arm, str(len(pairs)), *pool]))


def by_lr(lines: list[dict[str, Any]]) -> None:
    """Mean log KL of each arm at each learning rate over patterns and seeds: its lowest is the arm's learning rate."""
    logs: dict[tuple[str, float], list[float]] = defaultdict(list)
    for line in lines:
        logs[line["arm"], line["lr"]].append(math.log(line["kl"]))
    print("arm | learning rate | runs | mean log KL")
    for (arm, lr), values in sorted(logs.items()):
        print(f"{arm} | {lr:g} | {len(values)} | {mean(values):.3f}")


def types(seeds: dict[int, dict[str, dict[str, Any]]], base: str) -> None:
    """Final ranks under the null, by type: their sums on average over seeds; of the type that deviates most, how far
    its parameters lie from those of equal ranks, as a share of the budget, on average and by seed."""
    cost = World.opened().cost
    inside: dict[str, list[str]] = defaultdict(list)
    for path in cost:
        inside[path.rpartition(".")[2]].append(path)
    for arm in dict.fromkeys(arm for arms in seeds.values() for arm in arms if arm != base):
        runs = [(arms[arm]["ranks"], arms[base]) for arms in seeds.values() if {arm, base} <= arms.keys()]
        sums = {kind: mean(sum(ranks[path] for path in paths) for ranks, _ in runs) for kind, paths in inside.items()}
        shares = {
            kind: [
                sum(cost[path] * (ranks[path] - equal["ranks"][path]) for path in paths) / equal["parameters"]
                for ranks, equal in runs
            ]
            for kind, paths in inside.items()
        }
        most = max(abs(mean(by_seed)) for by_seed in shares.values())
        single = [f"{max(map(abs, one)):.0%}" for one in zip(*shares.values(), strict=True)]
        shown = " ".join(f"{kind.removesuffix('_proj')} {value:.1f}" for kind, value in sums.items())
        print(f"null, {arm}: {shown}; largest deviation {most:.1%} of the budget, by seed {' '.join(single)}")


def over_null(line: dict[str, Any], power: float) -> dict[str, float]:
    """KL / null^power, by module."""
    null = line["null"]
    return {path: value / null[path] ** power if null[path] else 0.0 for path, value in line["map"].items()}


def auc(score: dict[str, float], planted: dict[str, int]) -> float | None:
    """The chance that a planted module has a higher score than another."""
    yes = [score[path] for path, rank in planted.items() if rank]
    no = [score[path] for path, rank in planted.items() if not rank]
    if not yes or not no:
        return None
    return sum((one > other) + 0.5 * (one == other) for one in yes for other in no) / (len(yes) * len(no))


def interval(values: list[float]) -> str:
    """Mean and half of its 95 % interval over seeds."""
    if len(values) < 2:
        return f"{mean(values):+.3f}"
    return f"{mean(values):+.3f} ± {half_width(values):.3f}"


def ratio_of_sums(above: list[float], below: list[float]) -> str:
    """The ratio of the sums over seeds, and half of its 95 % interval by the jackknife."""
    count, ratio = len(above), sum(above) / sum(below)
    if count < 2:
        return f"{ratio:.2f}"
    without = [(sum(above) - one) / (sum(below) - other) for one, other in zip(above, below, strict=True)]
    return f"{ratio:.2f} ± {(count - 1) * half_width(without):.2f}"


def half_width(values: list[float]) -> float:
    """Half of the 95 % interval of a mean over seeds."""
    return t_quantile(0.95, len(values) - 1) * stdev(values) / math.sqrt(len(values))


def average(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{mean(known):.2f}" if known else "-"


if __name__ == "__main__":
    main()
