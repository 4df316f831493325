"""The table of planted.py's runs: what each arm takes of the oracle's gain over LoRA of its size, and its map.

python bench/planted_table.py bench/planted.jsonl
python bench/planted_table.py bench/planted_lr.jsonl --by-lr     # mean log KL of each arm at each learning rate"""

import json
import math
from argparse import ArgumentParser
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

T_QUANTILE = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}
"""97.5 % of Student's t, by the number of seeds."""
BASE = "lora:2"


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--by-lr", action="store_true")
    given = parser.parse_args()
    lines = [json.loads(text) for text in given.file.read_text(encoding="utf-8").splitlines()]
    if given.by_lr:
        by_lr(lines)
        return
    worlds: dict[tuple[str, str, str], dict[int, dict[str, dict[str, Any]]]] = defaultdict(lambda: defaultdict(dict))
    for line in lines:
        worlds[line["base"], line["pattern"], line["equal"]][line["seed"]][line["arm"]] = line
    print("base | pattern | equal | arm | seeds | log KL to lora:2 | share of the oracle's gain | AUC: map | map/null")
    for (base, pattern, equal), seeds in worlds.items():
        for arm in dict.fromkeys(arm for arms in seeds.values() for arm in arms):
            both = [arms for arms in seeds.values() if {arm, BASE, "oracle"} <= arms.keys()]
            if not both:
                continue
            gains = [math.log(arms[BASE]["kl"] / arms[arm]["kl"]) for arms in both]
            oracle = [math.log(arms[BASE]["kl"] / arms["oracle"]["kl"]) for arms in both]
            share = f"{sum(gains) / sum(oracle):.2f}" if pattern != "null" else "-"
            areas = [auc(arms[arm]["map"], arms[arm]["planted"]) for arms in both]
            ratios = [auc(over_null(arms[arm]), arms[arm]["planted"]) for arms in both]
            row = [base, pattern, equal, arm, str(len(both)), interval([-gain for gain in gains]), share]
            print(" | ".join([*row, average(areas), average(ratios)]))
        if pattern == "null":
            types(seeds)


def by_lr(lines: list[dict[str, Any]]) -> None:
    """Mean log KL of each arm at each learning rate over patterns and seeds: its lowest is the arm's learning rate."""
    logs: dict[tuple[str, float], list[float]] = defaultdict(list)
    for line in lines:
        logs[line["arm"], line["lr"]].append(math.log(line["kl"]))
    print("arm | learning rate | runs | mean log KL")
    for (arm, lr), values in sorted(logs.items()):
        print(f"{arm} | {lr:g} | {len(values)} | {mean(values):.3f}")


def types(seeds: dict[int, dict[str, dict[str, Any]]]) -> None:
    """Sums of final ranks by type under the null, where each is 6 in truth; and shares of the map."""
    for arm in ("l1ra", BASE):
        sums: dict[str, list[float]] = defaultdict(list)
        shares: dict[str, list[float]] = defaultdict(list)
        for arms in (arms for arms in seeds.values() if arm in arms):
            line, whole = arms[arm], sum(arms[arm]["map"].values())
            for name in dict.fromkeys(path.rpartition(".")[2] for path in line["ranks"]):
                inside = [path for path in line["ranks"] if path.endswith(name)]
                sums[name].append(sum(line["ranks"][path] for path in inside))
                shares[name].append(sum(line["map"][path] for path in inside) / whole)
        print("null", arm, {name: (round(mean(sums[name]), 1), round(mean(shares[name]), 3)) for name in sums})


def over_null(line: dict[str, Any]) -> dict[str, float]:
    return {path: value / line["null"][path] if line["null"][path] else 0.0 for path, value in line["map"].items()}


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


def half_width(values: list[float]) -> float:
    """Half of the 95 % interval of a mean over seeds."""
    return T_QUANTILE[len(values)] * stdev(values) / math.sqrt(len(values))


def average(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{mean(known):.2f}" if known else "-"


if __name__ == "__main__":
    main()
