"""Draw a metric of finished runs: python tools/plot_curves.py METRIC OUT.svg TITLE NAME=RUN[,RUN...] ...

It needs the extra `figures` (matplotlib).
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from paring.runtime.folder import RunFolder
from paring.runtime.glossary import explain
from paring.runtime.journal import read_rows

SMOOTHING = 5
"""Steps of the running mean that is drawn over the values of the single steps."""


def curves(runs: Mapping[str, Sequence[Path]], metric: str, to: Path, *, title: str) -> None:
    """Draw one metric of metrics.jsonl against the step: a colour for each name, a line for each of its runs.

    Thin: each step; thick: the mean of the last 5. The ending of `to` decides the format (svg, png, pdf).
    Raises ValueError where a run lacks the metric, UnknownMetric where there is none of this name."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    meaning = explain(metric)
    # A fixed salt and no date: the same runs give the same file.
    with pyplot.rc_context({"svg.hashsalt": "paring", "font.size": 9, "axes.spines.top": False}):
        figure, axes = pyplot.subplots(figsize=(6, 3), layout="constrained")
        for number, (name, folders) in enumerate(runs.items()):
            for run in folders:
                steps, values = _series(run, metric)
                axes.plot(steps, values, color=f"C{number}", linewidth=0.6, alpha=0.35)
                axes.plot(steps, _running_mean(values), color=f"C{number}", linewidth=1.6, label=name)
                name = None
        axes.set(title=title, xlabel="step", ylabel=metric.replace("_", " "))
        axes.spines.right.set_visible(False)
        axes.legend(frameon=False)
        figure.savefig(to, metadata={"Date": None, "Description": meaning} if to.suffix == ".svg" else None)
        pyplot.close(figure)


def _series(run: Path, metric: str) -> tuple[list[int], list[float]]:
    rows = [row for row in read_rows(RunFolder(run).metrics) if row.get(metric) is not None]
    if not rows:
        raise ValueError(f"{run}: its metrics.jsonl has no {metric}")
    return [row["step"] for row in rows], [row[metric] for row in rows]


def _running_mean(values: list[float]) -> list[float]:
    windows = (values[max(0, end - SMOOTHING) : end] for end in range(1, len(values) + 1))
    return [sum(window) / len(window) for window in windows]


def main() -> None:
    metric, out, title, *named = sys.argv[1:]
    runs = {name: [Path(run) for run in folders.split(",")] for name, _, folders in (n.partition("=") for n in named)}
    curves(runs, metric, Path(out), title=title)


if __name__ == "__main__":
    main()
