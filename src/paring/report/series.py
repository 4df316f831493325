"""The curves of a report: metrics against steps, thinned to what a page can show, over the runs of each arm."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import fmean, median

from paring.report.gathering import Contender, Gathered
from paring.report.runs import RunRecord, finite
from paring.runtime.journal import METRICS

SHOWN = {
    "reward": "Reward",
    "length": "Length of answers",
    "kl": "KL from the reference",
    "entropy": "Entropy",
    "clip_fraction": "Clip fraction",
    "loss": "Loss",
}
"""Metrics that have a figure, with its title. The loss of reinforcement learning measures no progress and has none."""
MOST_CURVES = 24
"""In one panel; so many differ in colour or in dashes."""
LOGARITHMIC_BEYOND = 20.0
"""A KL scale is logarithmic where its largest value is so many times the median one."""


@dataclass(frozen=True)
class Point:
    """The mean over runs of their means over the steps of a bin, the lowest and the highest of the runs, how many."""

    step: float
    mean: float
    low: float
    high: float
    runs: int


@dataclass(frozen=True)
class Curve:
    """An arm's course; `collapses` are the steps at which runs of it were found to have collapsed."""

    label: str
    style: int
    points: tuple[Point, ...]
    runs: int
    collapses: tuple[float, ...]

    @property
    def thins_out(self) -> bool:
        """Whether some of its runs end before others."""
        return self.points[-1].runs < self.runs


@dataclass(frozen=True)
class Figure:
    """One metric. `panels` by setting, "" where there is none."""

    metric: str
    title: str
    meaning: str
    panels: dict[str, tuple[Curve, ...]]
    steps_a_point: int
    last_step: int
    """Of the longest run: where the axis ends."""
    axis: str = "step"
    """What it is drawn against."""
    ticks: tuple[tuple[int, str], ...] = ()
    """Places on that axis with their texts; none: round numbers."""

    @property
    def curves(self) -> list[Curve]:
        return [curve for curves in self.panels.values() for curve in curves]

    @property
    def constant(self) -> float | None:
        """The one value of all steps of all runs, where there is but one."""
        values = {end for curve in self.curves for point in curve.points for end in (point.low, point.high)}
        return values.pop() if len(values) == 1 else None

    @property
    def logarithmic(self) -> bool:
        """Whether one arm would press all others flat against the axis. Only KL: the others have a ceiling, or a 0."""
        above = [point.mean for curve in self.curves for point in curve.points if point.mean > 0]
        return self.metric == "kl" and bool(above) and max(above) > LOGARITHMIC_BEYOND * median(above)


def figures_of(gathered: Gathered, *, points: int) -> list[Figure]:
    """A figure for each metric that any run has, of at most `points` points a curve."""
    longest = max((run.step for run in gathered.runs), default=0)
    width = max(1, ceil(longest / points))
    styles = styles_of(gathered)
    figures = []
    for metric, title in SHOWN.items():
        panels: dict[str, list[Curve]] = {}
        for contender in gathered.contenders:
            curve = _curve(contender, metric, width, styles[contender.label])
            if curve.points and len(panels.setdefault(contender.setting, [])) < MOST_CURVES:
                panels[contender.setting].append(curve)
        if panels:
            found = {setting: tuple(curves) for setting, curves in panels.items()}
            figures.append(Figure(metric, title, METRICS[metric], found, width, longest))
    return figures


def styles_of(gathered: Gathered) -> dict[str, int]:
    """A number for each label: the same in all panels."""
    labels = dict.fromkeys(contender.label for contender in gathered.contenders)
    return {label: number for number, label in enumerate(labels)}


def last_tenth(runs: Sequence[RunRecord], metric: str) -> float | None:
    """The mean over runs of the mean over the last tenth of the steps each has made; None where none has the metric."""
    means = []
    for run in runs:
        values = [value for _, value in _series(run, metric)]
        if values:
            means.append(fmean(values[-max(1, len(values) // 10) :]))
    return fmean(means) if means else None


def _curve(contender: Contender, metric: str, width: int, style: int) -> Curve:
    runs = contender.arm.runs
    binned = [bins for run in runs if (bins := _binned(run, metric, width))]
    points = []
    for number in sorted({number for bins in binned for number in bins}):
        values = [bins[number] for bins in binned if number in bins]
        middle = number * width + (width + 1) / 2
        points.append(Point(middle, fmean(values), min(values), max(values), len(values)))
    steps = (finite(run.collapse.get("step") or run.collapse.get("since")) for run in runs if run.collapse)
    return Curve(contender.label, style, tuple(points), len(binned), tuple(step for step in steps if step is not None))


def _binned(run: RunRecord, metric: str, width: int) -> dict[int, float]:
    """Bin -> mean of the metric over its steps; the first bin is that of the steps 1 to `width`."""
    bins: dict[int, list[float]] = {}
    for step, value in _series(run, metric):
        bins.setdefault((step - 1) // width, []).append(value)
    return {number: fmean(values) for number, values in bins.items()}


def _series(run: RunRecord, metric: str) -> Sequence[tuple[int, float]]:
    return () if metric == "loss" and run.recipe.get("method", "rl") == "rl" else tuple(run.series(metric))
