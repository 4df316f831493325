"""A chart as geometry: where its lines, bands, marks and ticks stand. The page's template writes it as SVG."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from paring.report.series import Curve, Figure

WIDTH, HEIGHT = 440, 240
LEFT, RIGHT, TOP, BOTTOM = 48, 14, 10, 32
COLOURS, DASHES = 6, 4
DECADES = 6
"""Powers of ten that a logarithmic scale reaches below its largest value; what is lower lies on its floor."""
MOST_TICKS = 5


@dataclass(frozen=True)
class Tick:
    place: float
    text: str


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
    """Everything in the units of the view box, which is WIDTH by HEIGHT."""

    lines: tuple[Line, ...]
    across: tuple[Tick, ...]
    upwards: tuple[Tick, ...]
    axis: str
    """What it is drawn against."""
    logarithmic: bool


def charts_of(figure: Figure) -> dict[str, Chart]:
    """A chart for each panel of the figure, all on the same scales."""
    points = [point for curve in figure.curves for point in curve.points]
    ends = [end for point in points for end in (point.low, point.high)]
    low, high, ticks, height = (_logarithmic if figure.logarithmic else _linear)(ends)
    across = _scale(0, figure.last_step, LEFT, WIDTH - RIGHT)
    upwards = _scale(low, high, HEIGHT - BOTTOM, TOP)

    def up(value: float) -> float:
        return upwards(height(value))

    steps = figure.ticks or [(step, f"{step:g}") for step in round_numbers(0, figure.last_step) if step == int(step)]
    return {
        setting: Chart(
            tuple(_line(curve, across, up) for curve in curves),
            tuple(Tick(across(step), text) for step, text in steps),
            tuple(Tick(up(value), text) for value, text in ticks),
            figure.axis,
            figure.logarithmic,
        )
        for setting, curves in figure.panels.items()
    }


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


Scaled = tuple[float, float, list[tuple[float, str]], Callable[[float], float]]
"""Lowest and highest height, the ticks as values and texts, and the height of a value."""


def _linear(ends: Sequence[float]) -> Scaled:
    """From 0 where the values are not far from it: a length of 20 that falls to 18 has not collapsed."""
    low, high = min(ends), max(ends)
    if 0 < low < 0.7 * high:
        low = 0.0
    room = 0.04 * (high - low) or 0.1 * abs(high) or 1.0
    low, high = low - (room if low else 0.0), high + room
    return low, high, [(value, f"{value:.6g}") for value in round_numbers(low, high)], lambda value: value


def _logarithmic(ends: Sequence[float]) -> Scaled:
    top = ceil(log10(max(ends)))
    bottom = max(top - DECADES, floor(log10(min(end for end in ends if end > 0))))
    powers = range(bottom, top + 1)
    ticks = [(10.0**power, f"{10.0**power:g}") for power in powers]
    return bottom, top, ticks, lambda value: log10(value) if value > 10.0**bottom else bottom


def _line(curve: Curve, across: Callable[[float], float], up: Callable[[float], float]) -> Line:
    middle = [(across(point.step), up(point.mean)) for point in curve.points]
    band = ""
    if curve.runs > 1:
        above = [(across(point.step), up(point.high)) for point in curve.points]
        below = [(across(point.step), up(point.low)) for point in curve.points]
        band = _path([*above, *reversed(below)]) + "z"
    colour, dashes = look(curve.style)
    nearest = [min(curve.points, key=lambda point: abs(point.step - step)) for step in curve.collapses]
    marks = tuple((across(point.step), up(point.mean)) for point in nearest)
    return Line(_path(middle), band, colour, dashes, middle[-1], marks)


def _path(points: Iterable[tuple[float, float]]) -> str:
    """Whole numbers where they will do: a point of a path is some eight characters."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}".replace(".0", "") for x, y in points)


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: start + (value - low) / (high - low) * (end - start)
