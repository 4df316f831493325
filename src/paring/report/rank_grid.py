"""Where the ranks of an arm went, as a grid of module types and layers for the page."""

from dataclasses import dataclass

from paring.ranks.reading import KINDS, Part, Ranks, by_layer, read_ranks, type_of
from paring.ranks.words import number, one_line, summary, words
from paring.report.gathering import Gathered

SHADES = 4
"""Of either direction."""
MOST_ARMS, MOST_EVENTS = 6, 20
MOST_LAYERS = 100


@dataclass(frozen=True)
class Cell:
    """A rank, and how far it is from its start: 0, or up to 4 shades above or below."""

    text: str
    shade: int


@dataclass(frozen=True)
class Grid:
    """One stack: a row a module type, a column a layer. A type that a layer lacks has an empty cell."""

    title: str
    layers: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


@dataclass(frozen=True)
class RankPicture:
    """The ranks of the first run of an arm, in words and as grids."""

    label: str
    seed: int
    summary: tuple[str, ...]
    grids: tuple[Grid, ...]
    events: tuple[str, ...]
    events_left_out: int


def rank_pictures(gathered: Gathered) -> tuple[list[RankPicture], list[str]]:
    """Of the first arms whose ranks move; and what keeps others from being shown, in words."""
    pictures, missing = [], []
    for contender in gathered.contenders:
        run = contender.arm.first
        adapter = run.recipe.get("adapter")
        if not isinstance(adapter, dict) or adapter.get("kind") not in KINDS:
            continue
        if len(pictures) == MOST_ARMS:
            missing.append(f"{contender.full_label}: left out, {MOST_ARMS} are shown. See `paring ranks`.")
            continue
        try:
            ranks = read_ranks(run.folder)
        except ValueError as error:
            missing.append(f"{contender.full_label}: {one_line(str(error))}")
            continue
        pictures.append(_picture(contender.full_label, run.seed, ranks))
    return pictures, missing


def _picture(label: str, seed: int, ranks: Ranks) -> RankPicture:
    reach = max(1, *(abs(module.change) for module in ranks.all.modules))
    left_out = max(0, len(ranks.events) - MOST_EVENTS)
    return RankPicture(
        label,
        seed,
        tuple(summary(ranks)),
        tuple(_grid(name, stack, reach) for name, stack in ranks.stacks.items() if len(by_layer(stack)) <= MOST_LAYERS),
        tuple(words(ranks, event) for event in range(left_out, len(ranks.events))),
        left_out,
    )


def _grid(name: str, stack: Part, reach: float) -> Grid:
    layers = by_layer(stack)
    cells = stack.by(lambda module: (type_of(module), module.place.layer))
    return Grid(
        one_line(name) or "outside the layers",
        tuple("-" if layer is None else str(layer) for layer in layers),
        tuple(
            (one_line(kind), tuple(_cell(cells.get((kind, layer)), reach) for layer in layers))
            for kind in stack.by(type_of)
        ),
    )


def _cell(part: Part | None, reach: float) -> Cell:
    if part is None:
        return Cell("", 0)
    change = part.change / len(part.modules)
    return Cell(number(part.mean), round(SHADES * max(-1.0, min(1.0, change / reach))))
