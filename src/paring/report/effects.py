"""What a single setting does: pairs of arms that differ in it alone, also across the settings of a study."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from paring.maths.estimates import Difference, holm, paired_t
from paring.report.comparing import LEVEL
from paring.report.differing import ABSENT, repeated, written
from paring.report.gathering import Gathered
from paring.report.outcomes import Benchmark, Block, Standing

Pair = tuple[Standing, Standing]
NAMES = (".kind", ".name", ".path")
"""How settings end that choose a thing and not a value: arms that differ in these are compared as arms."""


@dataclass(frozen=True)
class Effect:
    """What going from one value of a setting to another changes, over all pairs of arms that differ in nothing else.

    The unit is the seed: of each that all pairs have, the mean over the pairs of second minus first."""

    benchmark: Benchmark
    key: str
    values: tuple[str, str]
    pairs: tuple[Pair, ...]
    seeds: tuple[int, ...]
    difference: Difference
    adjusted: float
    """p, corrected for all effects of the report."""

    @property
    def beyond_chance(self) -> bool:
        return self.adjusted < LEVEL

    def of(self, pair: Pair) -> Difference:
        """The same of one of its pairs."""
        return paired_t(*_by_seed(pair, self.seeds))


def effects_of(gathered: Gathered, blocks: Sequence[Block]) -> list[Effect]:
    """Of every setting in which some arms alone differ: with several such pairs, or with one whose arms no block has
    side by side. A value that was tuned may differ beside it: each arm has the best that was found for it."""
    tuned = {choice.key for choice in gathered.choices}
    told = []
    for benchmark in {block.benchmark.name: block.benchmark for block in blocks}.values():
        standings = [found for block in blocks if block.benchmark.name == benchmark.name for found in block.standings]
        for (key, values), pairs in _pairs_by_change(standings, tuned).items():
            seeds = _shared_seeds(pairs)
            if (len(pairs) > 1 or _crosses(pairs[0])) and len(seeds) > 1:
                told.append((benchmark, key, values, tuple(pairs), seeds, _pooled(pairs, seeds)))
    adjusted = holm([difference.p for *_, difference in told])
    return [Effect(*what, p) for what, p in zip(told, adjusted, strict=True)]


def _pairs_by_change(standings: Sequence[Standing], tuned: set[str]) -> dict[tuple[str, tuple[str, str]], list[Pair]]:
    """(setting, its two values) -> the pairs of arms that differ in it alone, all in the direction of the first."""
    found: dict[tuple[str, tuple[str, str]], list[Pair]] = {}
    for first, second in combinations(standings, 2):
        if change := _change(first, second, tuned):
            key, (one, other) = change
            if (key, (other, one)) in found:
                found[key, (other, one)].append((second, first))
            else:
                found.setdefault((key, (one, other)), []).append((first, second))
    return found


def _change(first: Standing, second: Standing, tuned: set[str]) -> tuple[str, tuple[str, str]] | None:
    """The one setting in which two arms differ, with both values; None where it is none or several."""
    one, other = (repeated(standing.contender.arm.first.recipe) for standing in (first, second))
    keys = [key for key in {**one, **other} if key not in tuned and one.get(key, ABSENT) != other.get(key, ABSENT)]
    if len(keys) != 1 or keys[0].endswith(NAMES):
        return None
    return keys[0], (written(one.get(keys[0], ABSENT)), written(other.get(keys[0], ABSENT)))


def _crosses(pair: Pair) -> bool:
    """Whether its arms stand at different settings of a study, and so in no block together."""
    return pair[0].contender.setting != pair[1].contender.setting


def _shared_seeds(pairs: Sequence[Pair]) -> tuple[int, ...]:
    standings = [standing for pair in pairs for standing in pair]
    return tuple(seed for seed in standings[0].values if all(seed in standing.values for standing in standings))


def _pooled(pairs: Sequence[Pair], seeds: Sequence[int]) -> Difference:
    by_pair = [_by_seed(pair, seeds) for pair in pairs]
    second, first = ([fmean(values) for values in zip(*side, strict=True)] for side in zip(*by_pair, strict=True))
    return paired_t(second, first)


def _by_seed(pair: Pair, seeds: Sequence[int]) -> tuple[list[float], list[float]]:
    """Second and first of the pair, at each seed."""
    first, second = pair[0].values, pair[1].values
    return [second[seed] for seed in seeds], [first[seed] for seed in seeds]
