"""The figure of the answer: mean, interval and seeds of each arm, on one scale for all settings of a benchmark."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from paring.reporting.chart import round_numbers
from paring.reporting.contests import Contest, Measure, Standing


@dataclass(frozen=True)
class MeansRow:
    """An arm. Places are shares of the width in per cent; `reach` are the ends of its interval, `seeds` its runs, and
    `base` is where it stood before training."""

    label: str
    value: str
    dot: float
    reach: tuple[float, float] | None
    seeds: tuple[float, ...]
    base: float | None


@dataclass(frozen=True)
class MeansPanel:
    """The arms at one setting; `ticks` with their texts are the same at all settings of a benchmark."""

    title: str
    rows: tuple[MeansRow, ...]
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class MeansFigure:
    """Panels by benchmark. has_base: some arm was measured before training."""

    kind: ClassVar[str] = "means"
    benchmarks: tuple[tuple[str, tuple[MeansPanel, ...]], ...]
    has_base: bool


def means_of(contests: Sequence[Contest]) -> MeansFigure | None:
    """None where nothing was measured."""
    if not contests:
        return None
    measures = dict.fromkeys(contest.measure for contest in contests)
    benchmarks = tuple(
        (measure.name, _panels(measure, [contest for contest in contests if contest.measure == measure]))
        for measure in measures
    )
    has_base = any(row.base is not None for _, panels in benchmarks for panel in panels for row in panel.rows)
    return MeansFigure(benchmarks, has_base)


def _panels(measure: Measure, contests: Sequence[Contest]) -> tuple[MeansPanel, ...]:
    standings = [standing for contest in contests for standing in contest.standings]
    places = [place for standing in standings for place in _places(standing)]
    low, high = min(places), max(places)
    room = 0.04 * (high - low) or 0.1 * abs(high) or 0.1
    low, high = low - room, high + room
    if measure.accuracy:
        low, high = max(low, -0.02), min(high, 1.02)

    def scale(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    numbers = round_numbers(low, high)
    few = numbers[::2] if len(numbers) > 3 else numbers
    ticks = tuple((scale(tick), f"{100 * tick:g} %" if measure.accuracy else f"{tick:g}") for tick in few)
    return tuple(
        MeansPanel(contest.setting, tuple(_row(one, scale) for one in contest.standings), ticks) for contest in contests
    )


def _places(standing: Standing) -> list[float]:
    before = standing.before
    return [standing.mean, *(standing.interval or ()), *standing.values.values(), *([] if before is None else [before])]


def _row(standing: Standing, scale: Callable[[float], float]) -> MeansRow:
    ends, values, before = standing.interval, list(standing.values.values()), standing.before
    return MeansRow(
        standing.label,
        standing.measure.value(standing.mean),
        scale(standing.mean),
        (scale(ends[0]), scale(ends[1])) if ends else None,
        tuple(map(scale, values)) if len(values) > 1 else (),
        None if before is None else scale(before),
    )
