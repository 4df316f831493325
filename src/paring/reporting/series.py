"""The curves of a report: metrics against steps, over the runs of each arm; and scores against tuned values."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from statistics import fmean, median

from paring.reporting.by_task import tasks_of
from paring.reporting.gathering import Arm, Gathered
from paring.reporting.runs import RunRecord, finite, mapping
from paring.runtime.glossary import METRICS

SHOWN = {
    "reward": "Reward",
    "accuracy": "Accuracy of the answers sampled",
    "validation": "Accuracy on the validation split",
    "length": "Length of answers",
    "truncated": "Answers cut off",
    "kl": "KL from the reference",
    "entropy": "Entropy",
    "clip_fraction": "Clip fraction",
    "heldout": "Held-out loss",
    "loss": "Loss",
    "staleness": "Age of the policy that sampled",
    "kl_sampling": "KL from the policy that sampled",
    "mismatch_kl": "Mismatch of sampling and training",
}
"""Metrics that have a figure where a run has them, with its title. The loss of reinforcement learning measures no
progress and has none; the last three have one where an older policy has sampled (rollout.ahead, rollout.sync_every)."""
WHERE_OLDER = ("staleness", "kl_sampling", "mismatch_kl")
WITHIN = {"validation": ("evaluation", "accuracy"), "heldout": ("evaluation", "loss")}
"""Metrics that stand within another one of the journal: its name, and theirs in it."""
MOST_PARTS = 6
"""Parts of the reward that have a figure."""
Series = Callable[[RunRecord], Sequence[tuple[int, float]]]
"""A run's steps with their values."""
MOST_CURVES = 24
"""In one panel; up to this number they differ in colour or in dashes."""
LOGARITHMIC_BEYOND = 20.0
"""A KL scale is logarithmic where its largest value is this many times the median one."""
TUNING = (
    "Accuracy on the validation split after training, by the values that were tried: the wider an arm's plateau, the "
    "less it depends on the choice."
)


@dataclass(frozen=True)
class Point:
    """The mean over runs of their means over the steps of a bin; the lowest and the highest run; their number."""

    step: float
    mean: float
    low: float
    high: float
    runs: int


@dataclass(frozen=True)
class Curve:
    """An arm's course; `collapses` are the steps that noticed a collapse of one of its runs."""

    label: str
    style: int
    points: tuple[Point, ...]
    runs: int
    collapses: tuple[float, ...] = ()

    @property
    def thins_out(self) -> bool:
        """Whether some of its runs end before others."""
        return self.points[-1].runs < self.runs


@dataclass(frozen=True)
class Figure:
    """One metric.

    panels     the curves by setting, "" where there is none
    last_step  where the axis of each panel ends: at the last step of its longest run
    axis       the name of the axis below
    ticks      places on that axis with their texts; none: round numbers
    """

    metric: str
    title: str
    meaning: str
    panels: dict[str, tuple[Curve, ...]]
    steps_a_point: int
    last_step: Mapping[str, int]
    axis: str = "step"
    ticks: tuple[tuple[int, str], ...] = ()

    @property
    def curves(self) -> list[Curve]:
        return [curve for curves in self.panels.values() for curve in curves]

    @property
    def constant(self) -> float | None:
        """The one value of all steps of all runs, where there is but one; rounding makes no other."""
        values = [end for curve in self.curves for point in curve.points for end in (point.low, point.high)]
        low, high = min(values), max(values)
        return low if high - low <= 1e-9 * max(1.0, abs(high)) else None

    @property
    def logarithmic(self) -> bool:
        """Whether one arm would press all others flat against the axis. Only KL: the others have a ceiling, or a 0."""
        above = [point.mean for curve in self.curves for point in curve.points if point.mean > 0]
        return self.metric == "kl" and bool(above) and max(above) > LOGARITHMIC_BEYOND * median(above)


def figures_of(gathered: Gathered, *, points: int) -> list[Figure]:
    """A figure for each metric that any run has, for each part of the reward where there are several, and for the
    reward of each of several tasks. A curve has at most `points` points."""
    longest = max((run.step for run in gathered.runs), default=0)
    width = max(1, ceil(longest / points))
    styles = styles_of(gathered)
    figures = []
    for metric, title, series in _plots(gathered):
        panels: dict[str, tuple[Curve, ...]] = {}
        last: dict[str, int] = {}
        for arm in gathered.arms:
            curve = _curve(arm, series, width, styles[arm.label])
            if curve.points:
                panels[arm.place] = (*panels.get(arm.place, ()), curve)[:MOST_CURVES]
                last[arm.place] = max(last.get(arm.place, 0), *(run.step for run in arm.runs))
        if panels:
            figures.append(Figure(metric, title, METRICS[_within(metric)[0]], panels, width, last))
    return figures


def _plots(gathered: Gathered) -> Iterator[tuple[str, str, Series]]:
    """Metric, title and series of every figure, in order."""
    is_older = any(age > 0 for run in gathered.runs for _, age in run.series("staleness"))
    for metric, title in SHOWN.items():
        if is_older or metric not in WHERE_OLDER:
            yield metric, title, partial(_series, metric=metric)
        if metric == "reward":
            for task in tasks_of(gathered.runs):
                yield metric, f"Reward: {task}", partial(_series, metric=metric, task=task)
    parts = dict.fromkeys(part for run in gathered.runs for part in _parts(run))
    for part in list(parts)[:MOST_PARTS] if len(parts) > 1 else ():
        yield "reward_parts", f"Part of the reward: {part}", partial(_of_part, part=part)


def tuning_figures(gathered: Gathered) -> list[Figure]:
    """For each tuned setting the scores of the arms, with the values at equal distances in the order of their trial."""
    styles = styles_of(gathered)
    figures = []
    for key in dict.fromkeys(tuned.key for tuned in gathered.tuned):
        choices = [tuned for tuned in gathered.tuned if tuned.key == key]
        values = dict.fromkeys(value for one in choices for value in one.scores)
        places = {value: place for place, value in enumerate(values, 1)}
        panels: dict[str, tuple[Curve, ...]] = {}
        for one in choices:
            scores = sorted((places[value], score) for value, score in one.scores.items())
            points = tuple(Point(place, score, score, score, 1) for place, score in scores)
            if points and one.label in styles:
                curve = Curve(one.label, styles[one.label], points, 1)
                panels[one.place] = (*panels.get(one.place, ()), curve)
        if panels and len(places) > 1:
            ticks = tuple((place, value) for value, place in places.items())
            last = dict.fromkeys(panels, len(places) + 1)
            figures.append(Figure(key, f"Tuning {key}", TUNING, panels, 1, last, key, ticks))
    return figures


def styles_of(gathered: Gathered) -> dict[str, int]:
    """A number for each label: the same in all panels."""
    return {label: number for number, label in enumerate(dict.fromkeys(arm.label for arm in gathered.arms))}


def last_tenth(runs: Sequence[RunRecord], metric: str) -> float | None:
    """The mean over runs of the mean over the last tenth of the steps each has made; None where none has the metric."""
    series = [[value for _, value in _series(run, metric=metric)] for run in runs]
    means = [fmean(values[-max(1, len(values) // 10) :]) for values in series if values]
    return fmean(means) if means else None


def _curve(arm: Arm, series: Series, width: int, style: int) -> Curve:
    """In bins of `width` steps; the first is that of the steps 1 to `width`."""
    binned: list[dict[int, float]] = []
    for run in arm.runs:
        bins: dict[int, list[float]] = {}
        for step, value in series(run):
            bins.setdefault((step - 1) // width, []).append(value)
        if bins:
            binned.append({number: fmean(values) for number, values in bins.items()})
    points = []
    for number in sorted({number for bins in binned for number in bins}):
        values = [bins[number] for bins in binned if number in bins]
        middle = number * width + (width + 1) / 2
        points.append(Point(middle, fmean(values), min(values), max(values), len(values)))
    steps = (finite(run.collapse.get("step") or run.collapse.get("since")) for run in arm.runs if run.collapse)
    return Curve(arm.label, style, tuple(points), len(binned), tuple(step for step in steps if step is not None))


def _series(run: RunRecord, *, metric: str, task: str = "") -> Sequence[tuple[int, float]]:
    if metric == "loss" and run.samples_answers:
        return ()
    whole, part = _within(metric)
    return tuple(run.series(part, whole) if part else run.series(metric, "tasks", task) if task else run.series(metric))


def _within(metric: str) -> tuple[str, str]:
    """The metric of the journal that holds this one, and its name in it; itself and nothing for most."""
    return WITHIN.get(metric, (metric, ""))


def _of_part(run: RunRecord, *, part: str) -> Sequence[tuple[int, float]]:
    return tuple(run.series(part, "reward_parts"))


def _parts(run: RunRecord) -> list[str]:
    return list(mapping(run.rows[-1].get("reward_parts"))) if run.rows else []
