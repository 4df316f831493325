"""What a single setting does: pairs of arms that differ in it alone, also across the settings of a study."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean

from paring.maths.estimates import Difference, holm, paired_t
from paring.reporting.contests import Contest, Measure, Standing
from paring.reporting.contrasts import LEVEL
from paring.reporting.differing import ABSENT, repeated, written
from paring.reporting.gathering import Gathered

Pair = tuple[Standing, Standing]
NAMES = (".kind", ".name", ".path")
"""Endings of settings that choose a thing and not a value: arms that differ in these are compared as arms."""


@dataclass(frozen=True)
class Effect:
    """The change from one value of a setting to another, over all pairs of arms that differ in nothing else.

    The unit is the seed: at each that all pairs have, the mean over the pairs of second less first. `adjusted` is p,
    corrected for all effects of the report."""

    measure: Measure
    key: str
    values: tuple[str, str]
    pairs: tuple[Pair, ...]
    seeds: tuple[int, ...]
    difference: Difference
    adjusted: float = 1.0

    @property
    def beyond_chance(self) -> bool:
        return self.adjusted < LEVEL

    def by_pair(self, pair: Pair) -> Difference:
        """The same from one of its pairs."""
        return _pooled([pair], self.seeds)


def effects_of(gathered: Gathered, contests: Sequence[Contest]) -> list[Effect]:
    """One effect per setting that is the only difference between two arms: with several such pairs, or with one whose
    arms meet in no contest. A tuned value may differ beside it: each arm has its own best."""
    tuned = {choice.key for choice in gathered.tuned}
    effects = []
    for measure in dict.fromkeys(contest.measure for contest in contests):
        pairs_by_change: dict[tuple[str, tuple[str, str]], list[Pair]] = {}
        standings = [standing for contest in contests if contest.measure == measure for standing in contest.standings]
        for first, second in combinations(standings, 2):
            if change := _change(first, second, tuned):
                key, (one, other) = change
                if turned := pairs_by_change.get((key, (other, one))):
                    turned.append((second, first))
                else:
                    pairs_by_change.setdefault(change, []).append((first, second))
        for (key, values), pairs in pairs_by_change.items():
            arms = [standing for pair in pairs for standing in pair]
            seeds = tuple(seed for seed in arms[0].values if all(seed in arm.values for arm in arms))
            apart = pairs[0][0].arm.place != pairs[0][1].arm.place
            if (len(pairs) > 1 or apart) and len(seeds) > 1:
                effects.append(Effect(measure, key, values, tuple(pairs), seeds, _pooled(pairs, seeds)))
    adjusted = holm([effect.difference.p for effect in effects])
    return [replace(effect, adjusted=p) for effect, p in zip(effects, adjusted, strict=True)]


def _change(first: Standing, second: Standing, tuned: set[str]) -> tuple[str, tuple[str, str]] | None:
    """The one setting in which two arms differ, with both values; None where it is none or several."""
    one, other = (repeated(standing.arm.first.recipe) for standing in (first, second))
    keys = [key for key in {**one, **other} if key not in tuned and one.get(key, ABSENT) != other.get(key, ABSENT)]
    if len(keys) != 1 or keys[0].endswith(NAMES):
        return None
    return keys[0], (written(one.get(keys[0], ABSENT)), written(other.get(keys[0], ABSENT)))


def _pooled(pairs: Sequence[Pair], seeds: Sequence[int]) -> Difference:
    """Second less first, at each seed the mean over the pairs."""
    first, second = ([fmean(pair[side].values[seed] for pair in pairs) for seed in seeds] for side in (0, 1))
    return paired_t(first, second)
