"""A mean with its interval and its seeds on a strip, one beside each row of a table and all on one scale."""

from dataclasses import dataclass

from paring.report.outcomes import Block, Standing

WIDTH, HEIGHT, EDGE = 200, 20, 6


@dataclass(frozen=True)
class Strip:
    """Places from left to right, in units of the view box."""

    mean: float
    ends: tuple[float, float] | None
    seeds: tuple[float, ...]


@dataclass(frozen=True)
class Strips:
    """A strip for each standing of a block, and what stands at either end of the scale."""

    rows: tuple[Strip, ...]
    low: str
    high: str


def strips_of(block: Block) -> Strips:
    """The scale reaches from the lowest end of an interval, or seed, to the highest."""
    shown = [place for standing in block.standings for place in _places(standing)]
    low, high = min(shown), max(shown)

    def across(value: float) -> float:
        share = (value - low) / (high - low) if high > low else 0.5
        return round(EDGE + share * (WIDTH - 2 * EDGE), 1)

    rows = tuple(
        Strip(
            across(standing.mean),
            tuple(map(across, standing.interval)) if standing.interval else None,
            tuple(map(across, standing.values.values())) if len(standing.runs) > 1 else (),
        )
        for standing in block.standings
    )
    return Strips(rows, block.benchmark.value(low), block.benchmark.value(high))


def _places(standing: Standing) -> list[float]:
    return [standing.mean, *standing.values.values(), *(standing.interval or ())]
