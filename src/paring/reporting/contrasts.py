"""Which arms differ beyond chance: paired tests over seeds and over problems, corrected for their number."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from paring.maths.estimates import Difference, holm, paired_t, unpaired_difference
from paring.maths.pairing import Paired, paired
from paring.reporting.contests import Contest, Standing, counted
from paring.reporting.runs import RunRecord

MOST_PAIRED = 12
"""Up to this number of arms each is compared with each; beyond it, each with the first."""
LEVEL = 0.05
OVER_SEEDS = "paired t over seeds"


@dataclass(frozen=True)
class Test:
    """A difference, second less first, with its p-value, and that value adjusted for all tests of its family."""

    difference: Difference
    pairs: int
    name: str
    identical: bool
    """Whether no pair differs at all."""
    adjusted: float = 1.0

    @property
    def beyond_chance(self) -> bool:
        return self.adjusted < LEVEL


@dataclass(frozen=True)
class Contrast:
    """Two arms of a contest, second less first. `decisive` is the test over seeds where two or more are shared, else
    over problems, else unpaired; `items` is the test over problems beside one over seeds."""

    contest: Contest
    first: Standing
    second: Standing
    decisive: Test
    items: Test | None


def contrasts_of(contests: Sequence[Contest]) -> list[Contrast]:
    """All contrasts of a report. The decisive tests are one family for Holm's correction, those over problems beside
    them another. Pairs that no test applies to (single losses) are left out."""
    contrasts = []
    for contest in contests:
        first, *others = contest.standings
        few = len(contest.standings) <= MOST_PAIRED
        for one, other in combinations(contest.standings, 2) if few else ((first, other) for other in others):
            seeds, items = _over_seeds(one, other), _over_items(one, other)
            decisive = seeds or items or _unpaired(one, other)
            if decisive is not None:
                contrasts.append(Contrast(contest, one, other, decisive, items if seeds else None))
    decisive = _adjusted(contrast.decisive for contrast in contrasts)
    items = iter(_adjusted(contrast.items for contrast in contrasts if contrast.items))
    return [
        replace(contrast, decisive=test, items=contrast.items and next(items))
        for contrast, test in zip(contrasts, decisive, strict=True)
    ]


def over_problems(first: Iterable[RunRecord], second: Iterable[RunRecord]) -> Paired | None:
    """The paired comparison of two arms by each problem's share of right answers over the runs of an arm. None where
    a run has no record of its answers, or the runs answered different problems."""
    records = [[run.items for run in runs] for runs in (first, second)]
    problems = records[0][0].keys()
    if len(problems) < 2 or any(record.keys() != problems for side in records for record in side):
        return None
    first_P, second_P = ([sum(one[name] for one in side) / len(side) for name in problems] for side in records)
    return paired(first_P, second_P)


def _adjusted(tests: Iterable[Test]) -> list[Test]:
    tests = list(tests)
    p_values = holm([test.difference.p for test in tests])
    return [replace(test, adjusted=p) for test, p in zip(tests, p_values, strict=True)]


def _over_seeds(first: Standing, second: Standing) -> Test | None:
    one, other = first.values, second.values
    seeds = [seed for seed in one if seed in other]
    if len(seeds) < 2:
        return None
    difference = paired_t([one[seed] for seed in seeds], [other[seed] for seed in seeds])
    return Test(difference, len(seeds), OVER_SEEDS, all(one[seed] == other[seed] for seed in seeds))


def _over_items(first: Standing, second: Standing) -> Test | None:
    comparison = over_problems(first.runs.values(), second.runs.values())
    if comparison is None:
        return None
    difference = Difference(comparison.difference, comparison.low, comparison.high, comparison.p)
    return Test(difference, comparison.problems, comparison.test, comparison.apart == 0)


def _unpaired(first: Standing, second: Standing) -> Test | None:
    """Two accuracies that nothing pairs: the problems count as different ones, which asks for more evidence."""
    runs = [run for arm in (first, second) for run in arm.runs.values()]
    counts = [count for run in runs if (count := counted(run.evaluation("after"))) is not None]
    if len(runs) != 2 or len(counts) != 2:
        return None
    (right1, problems1), (right2, problems2) = counts
    difference = unpaired_difference(right1, problems1, right2, problems2)
    return Test(difference, min(problems1, problems2), "unpaired shares", identical=False)
