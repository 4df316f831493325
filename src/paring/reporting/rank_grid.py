"""The final ranks of an arm as grids for the page: a row a module type, a column a layer."""

from dataclasses import dataclass
from typing import ClassVar

from paring.ranks.reading import KINDS, Part, read_ranks
from paring.ranks.words import event_words, number, summary
from paring.reporting.differing import written
from paring.reporting.gathering import Gathered
from paring.reporting.runs import mapping

SHADES = 4
"""In either direction."""
MOST_ARMS, MOST_EVENTS, MOST_LAYERS = 6, 20, 100


@dataclass(frozen=True)
class Grid:
    """One stack. A cell has a rank, and its distance from the start: 0, or up to 4 shades above or below; where a
    layer lacks a type, nothing."""

    title: str
    layers: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[str, int], ...]], ...]


@dataclass(frozen=True)
class RankPicture:
    """The ranks of the first run of an arm, in words and as grids."""

    kind: ClassVar[str] = "ranks"
    label: str
    seed: int
    summary: tuple[str, ...]
    grids: tuple[Grid, ...]
    events: tuple[str, ...]
    events_left_out: int


def rank_pictures(gathered: Gathered) -> tuple[list[RankPicture], list[str]]:
    """Pictures of the first arms whose ranks move; and what keeps others from being shown, in words."""
    pictures, missing = [], []
    for arm in gathered.arms:
        run = arm.first
        if mapping(run.recipe.get("adapter")).get("kind") not in KINDS:
            continue
        if len(pictures) == MOST_ARMS:
            missing.append(f"{arm.full_label}: left out, {MOST_ARMS} are shown. See `paring ranks`.")
            continue
        try:
            ranks = read_ranks(run.folder)
        except ValueError as error:
            missing.append(f"{arm.full_label}: {written(error)}")
            continue
        reach = max(1, *(abs(module.change) for module in ranks.all.modules))
        stacks = {name: stack for name, stack in ranks.stacks.items() if len(stack.layers) <= MOST_LAYERS}
        grids = tuple(_grid(written(name) or "outside the layers", stack, reach) for name, stack in stacks.items())
        left_out = max(0, len(ranks.events) - MOST_EVENTS)
        events = tuple(event_words(ranks, number) for number in range(left_out, len(ranks.events)))
        pictures.append(RankPicture(arm.full_label, run.seed, tuple(summary(ranks)), grids, events, left_out))
    return pictures, missing


def _grid(title: str, stack: Part, reach: float) -> Grid:
    cells = {
        place: (number(cell.mean), round(SHADES * cell.mean_change / reach)) for place, cell in stack.cells.items()
    }
    rows = ((kind, tuple(cells.get((kind, layer), ("", 0)) for layer in stack.layers)) for kind in stack.types)
    layers = tuple("-" if layer is None else str(layer) for layer in stack.layers)
    return Grid(title, layers, tuple((written(kind), row) for kind, row in rows))
