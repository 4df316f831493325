"""Draws docs/figures/l1ra-planted-*.svg from bench/planted.jsonl. Needs matplotlib.

python bench/planted_figures.py gains      # KL of each arm against LoRA of rank 2, by pattern
python bench/planted_figures.py pareto     # KL against parameters: LoRA of ranks 1 to 8, L1RA and the oracle
python bench/planted_figures.py map        # true ranks, ranks that L1RA found, need, by module
"""

import json
import math
import sys
from collections import defaultdict
from statistics import mean
from typing import Any

from matplotlib import pyplot

from figures import HERE, STYLE, save
from paring.ranks.reading import NULL_POWER
from planted_table import BASE, half_width, over_null

PATTERNS = ("scattered", "layer", "mlp", "attention", "null")
ARMS = {"l1ra": "L1RA", "at:l1ra": "LoRA at L1RA's ranks", "oracle": "LoRA at the true ranks"}
EXAMPLE = ("mlp", 0)
"""The pattern and the seed of the map."""

Line = dict[str, Any]
Cells = dict[tuple[str, int], dict[str, Line]]


def cells() -> Cells:
    """The lines by pattern and seed, and then by arm."""
    found: Cells = defaultdict(dict)
    for text in (HERE / "planted.jsonl").read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        found[line["pattern"], line["seed"]][line["arm"]] = line
    return found


def gains() -> None:
    """A column for each pattern: the mean of log(KL / KL of LoRA of rank 2), and its 95 % interval over seeds."""
    figure, row = pyplot.subplots(1, len(PATTERNS), figsize=(9, 2.2), layout="constrained", sharey=True, sharex=True)
    for axes, pattern in zip(row, PATTERNS, strict=True):
        axes.axvline(0, color="0.8", linewidth=0.8)
        runs = [arms for (its, _), arms in cells().items() if its == pattern]
        for place, arm in enumerate(ARMS):
            logs = [math.log(arms[arm]["kl"] / arms[BASE]["kl"]) for arms in runs if {arm, BASE} <= arms.keys()]
            if len(logs) > 1:
                error = {"xerr": half_width(logs), "fmt": "o", "markersize": 4, "color": "C0"}
                axes.errorbar(mean(logs), place, **error)
        axes.set_title(pattern, fontsize=9)
    row[0].set_yticks(range(len(ARMS)), ARMS.values())
    row[0].invert_yaxis()
    figure.supxlabel("log (KL / KL of LoRA of rank 2): left of 0 is better", fontsize=9)
    save(figure, "l1ra-planted-gains.svg")


def pareto() -> None:
    """A column for each pattern that has LoRA of several ranks: KL against parameters at the end, geometric means over
    the seeds that have all arms; a line from L1RA's end to its peak."""
    sizes = [f"lora:{rank}" for rank in (1, 2, 3, 4, 8)]
    shown = [*sizes, *ARMS]
    whole = {key: arms for key, arms in cells().items() if set(shown) <= arms.keys()}
    patterns = [pattern for pattern in PATTERNS if any(its == pattern for its, _ in whole)]
    figure, row = pyplot.subplots(1, len(patterns), figsize=(4 * len(patterns), 2.8), layout="constrained")
    for axes, pattern in zip(row, patterns, strict=True):
        runs = [arms for (its, _), arms in whole.items() if its == pattern]
        kl = {arm: math.exp(mean(math.log(arms[arm]["kl"]) for arms in runs)) for arm in shown}
        size = {arm: mean(arms[arm]["parameters"] for arms in runs) / 1000 for arm in shown}
        axes.plot(
            [size[arm] for arm in sizes], [kl[arm] for arm in sizes], "o-", markersize=4, label="LoRA, rank 1 to 8"
        )
        peak = mean(arms["l1ra"]["peak"] for arms in runs) / 1000
        axes.plot([size["l1ra"], peak], [kl["l1ra"]] * 2, ":", color="C1", linewidth=1)
        for number, (arm, label) in enumerate(ARMS.items(), 1):
            axes.plot(size[arm], kl[arm], "s", markersize=5, color=f"C{number}", label=label)
        axes.set(title=pattern, xscale="log", yscale="log")
        axes.set_xticks([size[arm] for arm in sizes], [f"{size[arm]:.0f}" for arm in sizes])
        axes.set_yticks([0.03, 0.04, 0.05, 0.06, 0.08, 0.1], ["0.03", "0.04", "0.05", "0.06", "0.08", "0.1"])
        axes.minorticks_off()
        axes.set_xlabel("parameters at the end, thousands")
    row[0].set_ylabel("KL, nats a token")
    row[-1].legend(fontsize=7)
    save(figure, "l1ra-planted-pareto.svg")


def ranks_map() -> None:
    """Three pictures, module types by layers."""
    line = cells()[EXAMPLE]["l1ra"]
    need = over_null(line, NULL_POWER)
    share = {path: 100 * value / max(need.values()) for path, value in need.items()}
    pictures = {"planted ranks": line["planted"], "ranks of L1RA": line["ranks"], "need, % of the greatest": share}
    types = list(dict.fromkeys(path.rpartition(".")[2] for path in line["planted"]))
    layers = sorted({path.split(".")[2] for path in line["planted"]})
    figure, row = pyplot.subplots(1, 3, figsize=(7, 2.8), layout="constrained", sharey=True)
    for axes, (title, value) in zip(row, pictures.items(), strict=True):
        by_place = {(path.rpartition(".")[2], path.split(".")[2]): number for path, number in value.items()}
        table = [[by_place[name, layer] for layer in layers] for name in types]
        axes.imshow(table, cmap="Blues", aspect="auto", vmin=0)
        top = max(map(max, table))
        for y, numbers in enumerate(table):
            for x, number in enumerate(numbers):
                axes.text(x, y, f"{number:.0f}", ha="center", va="center", color="w" if number > 0.6 * top else "0.2")
        axes.set_title(title, fontsize=9)
        axes.set_xticks(range(len(layers)), layers)
        axes.set_xlabel("layer")
    row[0].set_yticks(range(len(types)), types)
    save(figure, "l1ra-planted-map.svg")


if __name__ == "__main__":
    with pyplot.rc_context(STYLE):
        {"gains": gains, "pareto": pareto, "map": ranks_map}[sys.argv[1]]()
