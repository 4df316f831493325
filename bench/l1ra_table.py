"""The table of the L1RA study from its lines: python bench/l1ra_table.py bench/l1ra_study.jsonl [figure.svg]"""

import json
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import Any

BASELINE = "lora"
TYPES = ("q", "k", "v", "o", "gate", "up", "down")


def main() -> None:
    lines = [json.loads(line) for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()]
    print(table(lines))
    if len(sys.argv) > 2:
        curve(lines, Path(sys.argv[2]))


def name_of(line: dict[str, Any]) -> str:
    """The arm, with what is not its default."""
    adapter = line["adapter"]
    more = [f"{key} {adapter[key]:g}" for key in ("nominate", "shrink") if adapter.get(key) not in (None, 0.5, 6.0)]
    rank = [] if adapter["rank"] == 16 else [f"rank {adapter['rank']}"]
    return ", ".join([line["arm"], *rank, *more])


def table(lines: list[dict[str, Any]]) -> str:
    """Held-out loss by arm at its best learning rate of seed 0, the difference from LoRA on the same seeds, and the
    most that adapters, gradients and moments held in training."""
    arms: dict[str, dict[float, dict[int, dict[str, Any]]]] = {}
    for line in lines:
        arms.setdefault(name_of(line), {}).setdefault(line["lr"], {})[line["seed"]] = line
    best = {name: by_lr[_best(by_lr)] for name, by_lr in arms.items()}
    rows = [
        "| arm | lr (tried, seed 0) | seeds | held-out loss | minus LoRA, same seeds | parameters | MB | "
        + " ".join(TYPES)
        + " |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, runs in best.items():
        tried = ", ".join(f"{lr:g}: {by_seed[0]['loss']:.4f}" for lr, by_seed in sorted(arms[name].items()))
        paired = [run["loss"] - best[BASELINE][seed]["loss"] for seed, run in runs.items() if seed in best[BASELINE]]
        first = next(iter(runs.values()))
        ranks = " ".join(str(first["ranks"].get(f"{kind}_proj", 0)) for kind in TYPES)
        parameters = mean(run["parameters"] for run in runs.values())
        most = max(run["training_mb"] for run in runs.values())
        rows.append(
            f"| {name} | {first['lr']:g} ({tried}) | {len(runs)} | {_spread([run['loss'] for run in runs.values()])} | "
            f"{_spread(paired, sign='+')} | {parameters:,.0f} | {most:.1f} | {ranks} |"
        )
    return "\n".join(rows)


def curve(lines: list[dict[str, Any]], to: Path) -> None:
    """Held-out loss less that of LoRA of the start rank on the same seed, against parameters: what pruning costs. Means
    and standard deviations over seeds, at the learning rate of most runs."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    lr = max({line["lr"] for line in lines}, key=[line["lr"] for line in lines].count)
    runs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for line in lines:
        if line["lr"] == lr and line["arm"] in ("lora", "l1ra"):
            runs.setdefault((line["arm"], name_of(line)), []).append(line)
    whole = {line["seed"]: line["loss"] for line in runs[BASELINE, BASELINE]}
    with pyplot.rc_context({"svg.hashsalt": "paring", "font.size": 9, "axes.spines.top": False}):
        figure, axes = pyplot.subplots(figsize=(6, 3.2), layout="constrained")
        for arm, colour in (("lora", "C0"), ("l1ra", "C1")):
            points = sorted(_point(own, whole) for (of_arm, _), own in runs.items() if of_arm == arm)
            size, loss, spread = zip(*points, strict=True)
            axes.errorbar(size, loss, spread, fmt="o-", color=colour, label=arm, capsize=3)
        axes.axhline(0, color="0.7", linewidth=0.8, zorder=0)
        axes.set(xlabel="parameters of the adapter, millions", ylabel="loss less LoRA's of rank 16, nats")
        axes.spines.right.set_visible(False)
        axes.legend(frameon=False)
        figure.savefig(to, metadata={"Date": None})
        pyplot.close(figure)


def _point(runs: list[dict[str, Any]], whole: dict[int, float]) -> tuple[float, float, float]:
    """Millions of parameters, the loss less LoRA's on the same seed, and how far that spreads."""
    less = [run["loss"] - whole[run["seed"]] for run in runs]
    return mean(run["parameters"] for run in runs) / 1e6, mean(less), stdev(less)


def _best(by_lr: dict[float, dict[int, dict[str, Any]]]) -> float:
    """By seed 0, which every learning rate was tried with."""
    return min((lr for lr, runs in by_lr.items() if 0 in runs), key=lambda lr: by_lr[lr][0]["loss"])


def _spread(values: list[float], sign: str = "") -> str:
    shown = f"{mean(values):{sign}.4f}" if values else ""
    return f"{shown} ± {stdev(values):.4f}" if len(values) > 1 else shown


if __name__ == "__main__":
    main()
