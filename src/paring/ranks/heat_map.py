"""A map of the ranks of a run: module type against layer, a colour for how far each is from its start."""

from typing import TYPE_CHECKING

from paring.ranks.reading import Part, Ranks
from paring.ranks.words import number, several_in_a_layer
from paring.runtime.tables import LONGEST_CELL
from paring.runtime.text import count_words, one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELLS_SHARE = 0.74
"""Share of the width that is left for the cells of a row, about."""
COLOURS = "PuOr_r"
"""Below the start violet, above it orange: all kinds of colour vision tell these two apart."""
LARGEST_NUMBER, SMALLEST_NUMBER = 7.0, 4.5
"""Points of the numbers in the cells; where not even the smallest fits, there are none."""


def rank_map(ranks: Ranks, width: float) -> "Figure":
    """Final rank of each module type and layer, one panel a stack. White is the start; the darkest are 0 and twice
    the start, or nearer ones where no rank went so far; what lies beyond is as dark, and has its number.

    `width` in inches."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    stacks = ranks.stacks
    rows = [len(stack.types) for stack in stacks.values()]
    figure = Figure(figsize=(width, 0.24 * sum(rows) + 0.55 * len(rows) + 0.55), layout="constrained")
    panels = figure.subplots(len(stacks), 1, squeeze=False, height_ratios=[count + 0.5 for count in rows])[:, 0]
    cells = [cell for stack in stacks.values() for cell in stack.cells.values()]
    changes = [cell.mean_change for cell in cells]
    start = ranks.start_rank
    farthest = max(map(abs, changes))
    reach = max(1, min(farthest, start) if start else farthest)
    columns = max(len(stack.layers) for stack in stacks.values())
    size = _fitting_size(width * CELLS_SHARE * 72 / columns, max(len(number(cell.mean)) for cell in cells))
    for panel, (name, stack) in zip(panels, stacks.items(), strict=True):
        _draw_stack(panel, name, stack, reach, size=size)
        panel.set_xlim(-0.5, columns - 0.5)
    figure.suptitle(_title(ranks), x=0.01, ha="left", fontsize=9)
    bar = figure.colorbar(
        ScalarMappable(Normalize(-reach, reach), COLOURS),
        ax=list(panels),
        fraction=0.03,
        pad=0.01,
        aspect=max(6, 2 * sum(rows)),
        extend="max" if max(changes) > reach else "neither",
        label="change of rank" if start is None else f"rank (start {start})",
    )
    marks = [-reach, -reach / 2, 0, reach / 2, reach]
    bar.set_ticks(marks, labels=[number(mark + (start or 0)) for mark in marks])
    bar.outline.set_linewidth(0.4)
    return figure


def _title(ranks: Ranks) -> str:
    last, everything = ranks.events[-1], ranks.all
    start = "different start ranks" if ranks.start_rank is None else f"start rank {ranks.start_rank} everywhere"
    return (
        f"Rank of each module after {count_words(len(ranks.events), 'rank event')} "
        f"(step {last.step:,}); {start}\n"
        f"sum {everything.start:,} at the start, {everything.end:,} now; "
        f"adapter parameters {everything.parameters_at_start:,} at the start, {everything.parameters:,} now"
    )


def _draw_stack(axes: "Axes", name: str, stack: Part, reach: float, *, size: float) -> None:
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    layers, types = list(stack.layers), stack.types
    for (kind, layer), cell in stack.cells.items():
        column, row = layers.index(layer), list(types).index(kind)
        colour = colormaps[COLOURS]((cell.mean_change + reach) / (2 * reach))
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=colour, edgecolor="white", linewidth=0.5))
        if size:
            red, green, blue, _ = colour
            light = 0.299 * red + 0.587 * green + 0.114 * blue  # luma of Rec. 601, 0 to 1
            ink = "white" if light < 0.5 else "0.15"
            axes.text(column, row, number(cell.mean), ha="center", va="center_baseline", fontsize=size, color=ink)
    for row, part in enumerate(types.values()):
        axes.text(len(layers) - 0.5, row, f"  {part.mean:.1f}", va="center_baseline", fontsize=7, color="0.3")
    axes.text(len(layers) - 0.5, -0.6, "  mean", va="bottom", fontsize=7, color="0.3")
    axes.set_ylim(len(types) - 0.5, -0.5)
    axes.set_yticks(range(len(types)), [one_line(kind, LONGEST_CELL) for kind in types])
    every = 1 if len(layers) <= 16 else 5 if len(layers) <= 60 else 10
    shown = range(0, len(layers), every)
    axes.set_xticks(shown, ["-" if layers[column] is None else str(layers[column]) for column in shown])
    where = f"layer ({one_line(name, LONGEST_CELL)})" if name else "outside the layers"
    axes.set_xlabel("; ".join([where, *several_in_a_layer(stack)]), loc="left")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _fitting_size(width: float, characters: int) -> float:
    """Points of a number that fits a cell of this width in points; 0 where it would be too small to read."""
    # A digit is 0.64 of its size wide; a tenth of the cell stays free.
    size = min(LARGEST_NUMBER, 0.9 * width / (0.64 * characters))
    return size if size >= SMALLEST_NUMBER else 0.0
