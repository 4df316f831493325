"""Draws docs/figures/performance-*.svg from bench/results.jsonl and bench/growth.json. Needs matplotlib.

python bench/figures.py phases     # seconds of a step by phase: before, now, and TRL's
python bench/figures.py growth     # seconds and peak memory of every point of growth.py
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot

HERE = Path(__file__).parent
FIGURES = HERE.parent / "docs" / "figures"
STYLE: Any = {"svg.hashsalt": "paring", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
PHASES = ("rollout", "reference", "training")
STEP = "one RL step, seconds: TRL's GRPOTrainer / ours"


def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (HERE / "results.jsonl").read_text(encoding="utf-8").splitlines()]


def phases() -> None:
    """Stacked seconds of one RL step; TRL does not tell its phases apart."""
    before = next(row for row in rows() if row["claim"] == "one RL step before the fast paths, seconds")
    step = next(row for row in rows() if row["claim"] == STEP and row["shapes"]["kl"] > 0)
    bars = {"before": before["seconds_by_phase"], "now": step["seconds_ours_by_phase"]}
    figure, axes = pyplot.subplots(figsize=(6, 2.2), layout="constrained")
    axes.barh(["TRL 1.16"], [step["seconds_peer"]], color="0.7", label="whole step")
    for number, phase in enumerate(PHASES):
        seconds = [bar[phase] for bar in bars.values()]
        starts = [sum(bar[earlier] for earlier in PHASES[:number]) for bar in bars.values()]
        axes.barh(list(bars), seconds, left=starts, color=f"C{number}", label=phase)
    axes.set_xlabel("seconds a step (4 problems x 8 answers, 128 tokens, SmolLM2-135M, 2 cores)")
    axes.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.25))
    axes.invert_yaxis()
    save(figure, "performance-phases.svg")


def growth() -> None:
    """A column for each axis: seconds above, peak memory below, both from 0."""
    series = json.loads((HERE / "growth.json").read_text(encoding="utf-8"))
    figure, table = pyplot.subplots(
        2, len(series), figsize=(2.1 * len(series), 3.6), layout="constrained", sharex="col"
    )
    for column, (name, points) in zip(table.T, series.items(), strict=True):
        sizes = [point["size"] for point in points]
        for axes, key, unit in zip(column, ("seconds", "peak_gb"), ("seconds", "peak GB"), strict=True):
            axes.plot(sizes, [point[key] for point in points], marker="o", markersize=3)
            axes.set_ylim(0, 1.08 * max(point[key] for point in points))
            axes.set_ylabel(unit)
        column[0].set_title(name)
        column[1].set_xlabel(name.split(", ")[1])
    save(figure, "performance-growth.svg")


def save(figure: Any, name: str) -> None:
    """Write into docs/figures; the same bytes from the same numbers."""
    figure.savefig(FIGURES / name, metadata={"Date": None})
    pyplot.close(figure)


if __name__ == "__main__":
    with pyplot.rc_context(STYLE):
        {"phases": phases, "growth": growth}[sys.argv[1]]()
