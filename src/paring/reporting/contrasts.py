"""Which arms differ beyond chance, and what a single setting does: tests, corrected for their number."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

from paring.maths.estimates import Difference, holm, unpaired_difference
from paring.maths.pairing import Paired, paired
from paring.maths.seeds import arms_difference
from paring.reporting.contests import Contest, Measure, Standing, counted
from paring.reporting.differing import ABSENT, repeated, written
from paring.reporting.gathering import Gathered
from paring.reporting.runs import RunRecord

MOST_PAIRED = 12
"""Up to this number of arms each is compared with each; beyond it, each with the first."""
LEVEL = 0.05
OVER_SEEDS = "Welch over seeds"
NAMES = (".kind", ".name", ".path")
"""Endings of settings that choose a thing and not a value: arms that differ in these are compared as arms."""
Pair = tuple[Standing, Standing]


@dataclass(frozen=True)
class Tested:
    """A difference, second less first, with its p-value, and that value adjusted for all tests of its family."""

    difference: Difference
    adjusted: float = field(default=1.0, kw_only=True)

    @property
    def beyond_chance(self) -> bool:
        return self.adjusted < LEVEL


@dataclass(frozen=True)
class Test(Tested):
    """A test of this name. counts: the pairs of a paired one, else what each side has, seeds or problems. `identical`:
    nothing differs at all."""

    counts: tuple[int, ...]
    name: str
    identical: bool


@dataclass(frozen=True)
class Contrast:
    """Two arms of a contest, second less first. `decisive` is the test over seeds where both have two or more, else
    over problems, else unpaired; `items`, beside one over seeds, is the comparison over problems: it describes these
    runs on their problems, and no conclusion is drawn from it."""

    contest: Contest
    first: Standing
    second: Standing
    decisive: Test
    items: Test | None


@dataclass(frozen=True)
class Effect(Tested):
    """The change from one value of a setting to another, over all pairs of arms that differ in nothing else.

    The mean over the arms of one value less that over the arms of the other, each over its seeds, `runs` in all."""

    measure: Measure
    key: str
    values: tuple[str, str]
    pairs: tuple[Pair, ...]

    @property
    def runs(self) -> int:
        return sum(len(standing.values) for pair in self.pairs for standing in pair)

    def by_pair(self, pair: Pair) -> Difference | None:
        """The same from one of its pairs; None where it has no spread."""
        return _difference([pair])


def contrasts_of(contests: Sequence[Contest]) -> list[Contrast]:
    """All contrasts of a report, between arms that are distinct. Pairs that no test applies to (single losses) are left
    out."""
    contrasts = []
    for contest in contests:
        first, *others = contest.distinct
        few = len(contest.distinct) <= MOST_PAIRED
        for one, other in combinations(contest.distinct, 2) if few else ((first, other) for other in others):
            seeds, items = _over_seeds(one, other), _over_items(one, other)
            decisive = seeds or items or _unpaired(one, other)
            if decisive is not None:
                contrasts.append(Contrast(contest, one, other, decisive, items if seeds else None))
    return contrasts


def one_family(contrasts: Sequence[Contrast], effects: Sequence[Effect]) -> tuple[list[Contrast], list[Effect]]:
    """The same with p-values adjusted for the number of all tests of the report that a conclusion may rest on: the
    decisive test of every contrast, and every effect (Holm 1979)."""
    tests = [contrast.decisive for contrast in contrasts], list(effects)
    adjusted = holm([test.difference.p for family in tests for test in family])
    decisive = [replace(test, adjusted=p) for test, p in zip(tests[0], adjusted, strict=False)]
    changed = [replace(effect, adjusted=p) for effect, p in zip(effects, adjusted[len(contrasts) :], strict=True)]
    return [replace(one, decisive=test) for one, test in zip(contrasts, decisive, strict=True)], changed


def over_problems(first: Iterable[RunRecord], second: Iterable[RunRecord]) -> Paired | None:
    """The paired comparison of two arms by each problem's share of right answers over the runs of an arm. None where
    a run has no record of its answers, or the runs answered different problems."""
    records = [[run.items for run in runs] for runs in (first, second)]
    problems = records[0][0].keys()
    if len(problems) < 2 or any(record.keys() != problems for side in records for record in side):
        return None
    first_P, second_P = ([sum(one[name] for one in side) / len(side) for name in problems] for side in records)
    return paired(first_P, second_P)


def effects_of(gathered: Gathered, contests: Sequence[Contest]) -> list[Effect]:
    """One effect per setting that is the only difference between two arms: with several such pairs, or with one whose
    arms meet in no contest. A tuned value may differ beside it: each arm has its own best."""
    tuned = {key for choice in gathered.tuned for key in choice.keys}
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
        for (key, values), found in pairs_by_change.items():
            pairs = _distinct(found)
            apart = pairs[0][0].arm.place != pairs[0][1].arm.place
            if (len(pairs) > 1 or apart) and (difference := _difference(pairs)) is not None:
                effects.append(Effect(difference, measure, key, values, tuple(pairs)))
    return effects


def _distinct(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs without those whose both sides repeat an earlier one's."""
    kept: list[Pair] = []
    for first, second in pairs:
        if not any(first.repeats(one) and second.repeats(other) for one, other in kept):
            kept.append((first, second))
    return kept


def _over_seeds(first: Standing, second: Standing) -> Test | None:
    if (difference := _difference([(first, second)])) is None:
        return None
    counts = len(first.values), len(second.values)
    return Test(difference, counts, OVER_SEEDS, first.values == second.values)


def _over_items(first: Standing, second: Standing) -> Test | None:
    comparison = over_problems(first.runs.values(), second.runs.values())
    if comparison is None:
        return None
    difference = Difference(comparison.difference, comparison.low, comparison.high, comparison.p)
    return Test(difference, (comparison.problems,), comparison.test, comparison.apart == 0)


def _unpaired(first: Standing, second: Standing) -> Test | None:
    """Two accuracies that nothing pairs: the problems count as different ones, which asks for more evidence."""
    runs = [run for arm in (first, second) for run in arm.runs.values()]
    counts = [count for run in runs if (count := counted(run.evaluation("after"))) is not None]
    if len(runs) != 2 or len(counts) != 2:
        return None
    (right1, problems1), (right2, problems2) = counts
    difference = unpaired_difference(right1, problems1, right2, problems2)
    return Test(difference, (problems1, problems2), "unpaired shares", identical=False)


def _change(first: Standing, second: Standing, tuned: set[str]) -> tuple[str, tuple[str, str]] | None:
    """The one setting in which two arms differ, with both values; None where it is none or several."""
    one, other = (repeated(standing.arm.first.recipe) for standing in (first, second))
    keys = [key for key in {**one, **other} if key not in tuned and one.get(key, ABSENT) != other.get(key, ABSENT)]
    if len(keys) != 1 or keys[0].endswith(NAMES):
        return None
    return keys[0], (written(one.get(keys[0], ABSENT)), written(other.get(keys[0], ABSENT)))


def _difference(pairs: Sequence[Pair]) -> Difference | None:
    """Second less first over seeds, the mean over the pairs. None where an arm has fewer than two seeds, or losses have
    no spread."""
    first, second = ([list(pair[side].values.values()) for pair in pairs] for side in (0, 1))
    if any(len(values) < 2 for values in (*first, *second)):
        return None
    one = pairs[0][0]
    return arms_difference(first, second, one.problems, accuracy=one.measure.accuracy)
