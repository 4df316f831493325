"""Charts as geometry, where lines, bands, marks and ticks stand, which the page's template writes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import ClassVar

from paring.reporting.series import Curve, Figure

WIDTH, HEIGHT = 320, 190
LEFT, RIGHT, TOP, BOTTOM = 42, 12, 8, 30
COLOURS, DASHES = 6, 4
DECADES = 6
"""Powers of ten that a logarithmic scale reaches below its largest value; what is lower lies on its floor."""
MOST_TICKS = 5
Scale = Callable[[float], float]
"""From a value to its place."""


@dataclass(frozen=True)
class Line:
    """A path with the numbers of its colour, dashes and end mark; `band` is closed, or "" for a single run."""

    path: str
    band: str
    colour: int
    dashes: int
    end: tuple[float, float]
    collapses: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Chart:
    """Lines, and ticks with their texts, in the units of the view box, which is WIDTH by HEIGHT; `axis` names the axis
    below."""

    lines: tuple[Line, ...]
    across: tuple[tuple[float, str], ...]
    upwards: tuple[tuple[float, str], ...]
    axis: str


@dataclass(frozen=True)
class Gallery:
    """Figures with their charts by setting, under a legend of labels, colours and dashes, which is empty for a single
    curve. beside: there is one setting, so that figures stand side by side; settings do otherwise."""

    kind: ClassVar[str] = "gallery"
    legend: Sequence[tuple[str, int, int]]
    figures: Sequence[tuple[Figure, dict[str, Chart]]]
    beside: bool


def charts_of(figure: Figure) -> dict[str, Chart]:
    """A chart for each panel of the figure, all on the same scale upwards; below, each ends with its own last step."""
    points = [point for curve in figure.curves for point in curve.points]
    ends = [end for point in points for end in (point.low, point.high)]
    up, ticks = (_logarithmic if figure.logarithmic else _linear)(ends)
    charts = {}
    for setting, curves in figure.panels.items():
        end = figure.last_step[setting]
        across = _scale(0, end, LEFT, WIDTH - RIGHT)
        steps = figure.ticks or [(step, f"{step:g}") for step in round_numbers(0, end) if step == int(step)]
        charts[setting] = Chart(
            tuple(_line(curve, across, up) for curve in curves),
            tuple((across(step), text) for step, text in steps),
            tuple((up(value), f"{value:g}") for value in ticks),
            figure.axis,
        )
    return charts


def look(style: int) -> tuple[int, int]:
    """Colour and dashes of a curve: the first few differ in both, and the first 24 in one of them."""
    return style % COLOURS, (style + style // (COLOURS * DASHES // 2)) % DASHES


def round_numbers(low: float, high: float) -> list[float]:
    """At most five multiples of 1, 2 or 5 times a power of ten between two numbers, both included."""
    if not high > low:
        return [low]
    power = 10.0 ** floor(log10((high - low) / MOST_TICKS))
    step = next(power * times for times in (1, 2, 5, 10, 20) if (high - low) / (power * times) < MOST_TICKS)
    return [number * step for number in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def _linear(ends: Sequence[float]) -> tuple[Scale, list[float]]:
    """The scale with its ticks, from 0 where the values are not far from it: a length of 20 that falls to 18 has not
    collapsed."""
    low, high = min(ends), max(ends)
    if 0 < low < 0.7 * high:
        low = 0.0
    room = 0.04 * (high - low) or 0.1 * abs(high) or 1.0
    low, high = low - (room if low else 0.0), high + room
    return _scale(low, high, HEIGHT - BOTTOM, TOP), round_numbers(low, high)


def _logarithmic(ends: Sequence[float]) -> tuple[Scale, list[float]]:
    top = ceil(log10(max(ends)))
    bottom = max(top - DECADES, floor(log10(min(end for end in ends if end > 0))))
    upwards = _scale(bottom, top, HEIGHT - BOTTOM, TOP)
    ticks = [10.0**power for power in range(bottom, top + 1)]
    return lambda value: upwards(log10(value) if value > 10.0**bottom else bottom), ticks


def _line(curve: Curve, across: Scale, up: Scale) -> Line:
    middle = [(across(point.step), up(point.mean)) for point in curve.points]
    band = ""
    if curve.runs > 1:
        above = [(across(point.step), up(point.high)) for point in curve.points]
        below = [(across(point.step), up(point.low)) for point in curve.points]
        band = _path([*above, *reversed(below)]) + "z"
    nearest = [min(curve.points, key=lambda point: abs(point.step - step)) for step in curve.collapses]
    marks = tuple((across(point.step), up(point.mean)) for point in nearest)
    return Line(_path(middle), band, *look(curve.style), middle[-1], marks)


def _path(points: Iterable[tuple[float, float]]) -> str:
    """Whole numbers where they will do: a point of a path is some eight characters."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}".replace(".0", "") for x, y in points)


def _scale(low: float, high: float, start: float, end: float) -> Scale:
    return lambda value: start + (value - low) / (high - low) * (end - start)
