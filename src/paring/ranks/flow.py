"""The flow of the ranks of a run over its steps: stacked areas by module type, and the KL of each event."""

from itertools import accumulate
from typing import TYPE_CHECKING

from paring.ranks.reading import Ranks
from paring.runtime.tables import LONGEST_CELL
from paring.runtime.text import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HUES = ("Blues", "Oranges", "Greens", "Purples", "Reds")
"""One for each part of a layer (attention, MLP ...); the types of a part are its shades."""
LABEL_DISTANCE = 0.062
"""Least distance of two labels beside the areas, as a share of the height."""


def rank_flow(ranks: Ranks, width: float) -> "Figure":
    """Above, ranks by type, in the unit of the budget, what is unassigned on top; below, the KL where it is known.

    `width` in inches."""
    from matplotlib.figure import Figure

    measured = {event.step: event.kl for event in ranks.events if event.kl is not None}
    figure = Figure(figsize=(width, 4.2 if measured else 3.2), layout="constrained")
    heights = [4, 1] if measured else [1]
    panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    _draw_areas(panels[0], ranks)
    if measured:
        _draw_kl(panels[1], measured)
    panels[-1].set_xlabel("step")
    return figure


def _draw_areas(axes: "Axes", ranks: Ranks) -> None:
    """Stairs, not slopes: ranks move at events only."""
    last = ranks.events[-1]
    end = max(ranks.step, last.step + max(1, round(0.03 * last.step)))
    steps = [0, *(event.step for event in ranks.events), end]
    areas, colours = _areas(ranks), _colours(ranks)
    base = [0] * len(steps)
    labels: list[tuple[float, str, str]] = []
    for name, values in areas.items():
        top = [low + value for low, value in zip(base, [*values, values[-1]], strict=True)]
        if name is None:
            words, colour = "unassigned", "0.6"
            axes.fill_between(steps, base, top, step="post", fc="0.93", hatch="/////", ec="0.6", lw=0)
        else:
            words, colour = one_line(name, LONGEST_CELL), colours[name]
            axes.fill_between(steps, base, top, step="post", fc=colour, ec="white", lw=0.5)
        count = f"{values[-1] / 1e6:.2f} M" if values[-1] >= 1e6 else f"{values[-1]:,}"
        change = f" ({100 * (values[-1] / values[0] - 1):+.0f} %)".replace("-", "−") if values[0] else ""
        labels.append(((base[-1] + top[-1]) / 2, f"{words}  {count}{change}", colour))
        base = top
    # The edge of the budget: what is missing below it was pruned and not given again.
    begin = sum(values[0] for values in areas.values())
    height = 1.03 * max(begin, *map(sum, zip(*areas.values(), strict=True)))
    axes.axhline(begin, color="0.2", linewidth=0.6, linestyle=(0, (1, 2)))
    axes.set(xlim=(0, end), ylim=(0, height))
    _label(axes, labels, height)
    _mark_events(axes, ranks)
    thing, unit = ("Ranks", "ranks") if ranks.budget == "ranks" else ("Adapter parameters", "parameters")
    axes.set_title(f"{thing} by module type over the run (dotted: the start)", pad=24)
    axes.set_ylabel(unit)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value / 1e6:g} M" if height >= 1e6 else f"{value:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)


def _areas(ranks: Ranks) -> dict[str | None, list[int]]:
    """By label of a type: its ranks at the start and after each event. Under None what was unassigned, if anything."""
    areas: dict[str | None, list[int]] = {}
    for label, part in ranks.types.items():
        states = [{module.path: module.start for module in part.modules}]
        states += [{path: event.ranks[path] for path in states[0]} for event in ranks.events]
        areas[label] = list(map(ranks.counted, states))
    unassigned = [0, *(event.unassigned for event in ranks.events)]
    return areas | ({None: unassigned} if any(unassigned) else {})


def _colours(ranks: Ranks) -> dict[str, str]:
    """A hue for each part of a layer, a shade for each of its types."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    families: dict[tuple[str, str], list[str]] = {}
    for label, part in ranks.types.items():
        place = part.modules[0].place
        families.setdefault((place.stack, place.family), []).append(label)
    return {
        label: to_hex(colormaps[HUES[index % len(HUES)]](0.8 - 0.5 * position / max(1, len(labels) - 1)))
        for index, labels in enumerate(families.values())
        for position, label in enumerate(labels)
    }


def _label(axes: "Axes", labels: list[tuple[float, str, str]], height: float) -> None:
    """Name each area to its right; where areas are thin, names are pushed apart."""
    distance = min(LABEL_DISTANCE, 1 / len(labels))
    middles = (middle / height for middle, _, _ in labels)
    pushed_up = accumulate(middles, lambda below, place: max(place, below + distance))
    for number, (place, (middle, words, colour)) in enumerate(zip(pushed_up, labels, strict=True), start=1):
        place = min(place, 1 - distance * (len(labels) - number + 0.5))
        ends = [1.003, 1.025], [middle / height, place]
        axes.plot(*ends, transform=axes.transAxes, color=colour, linewidth=1.5, clip_on=False)
        axes.text(1.032, place, words, transform=axes.transAxes, va="center", fontsize=7, color="0.15")


def _mark_events(axes: "Axes", ranks: Ranks) -> None:
    """A triangle above each event, hollow where pruned ranks are not given again."""
    marks = {
        "rank event": [event.step for event in ranks.events if event.growth],
        "rank event, none can be given": [event.step for event in ranks.events if not event.growth],
    }
    for (words, steps), filling in zip(marks.items(), ("0.2", "white"), strict=True):
        for step in steps:
            axes.axvline(step, color="0.2", linewidth=0.4, alpha=0.25)
        if steps:
            (triangles,) = axes.plot(steps, [1.015] * len(steps), "v", markersize=4, color="0.2", label=words)
            triangles.set(markerfacecolor=filling, transform=axes.get_xaxis_transform(), clip_on=False)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.035), ncols=2)


def _draw_kl(axes: "Axes", measured: dict[int, float]) -> None:
    steps, values = list(measured), list(measured.values())
    axes.vlines(steps, 0, values, color="0.4", linewidth=1)
    axes.plot(steps, values, "o", color="0.2", markersize=3, clip_on=False)
    axes.axhline(0, color="0.2", linewidth=0.6)
    axes.set_title("What each event changed: KL of the policy before it from the policy after it", fontsize=8)
    axes.set(ylabel="nats a token", ylim=(min(0, *values), 1.15 * max(values) if max(values) > 0 else 1e-6))
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    axes.spines[["top", "right", "bottom"]].set_visible(False)
