"""Which arms differ beyond chance: paired tests over seeds and over problems, corrected for their number."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from paring.maths.estimates import Difference, holm, mcnemar_exact, paired_t, unpaired_difference
from paring.report.outcomes import Block, Standing

MOST_PAIRED = 12
"""Up to so many arms each is compared with each; of more, each with the first."""
LEVEL = 0.05
OVER_SEEDS = "paired t over seeds"


@dataclass(frozen=True)
class Test:
    """A difference with its p-value, and that value adjusted for all tests of its family in the report."""

    difference: Difference
    adjusted: float
    pairs: int
    name: str

    @property
    def interval(self) -> tuple[float, float]:
        return self.difference.low, self.difference.high

    @property
    def over_seeds(self) -> bool:
        return self.name == OVER_SEEDS

    @property
    def identical(self) -> bool:
        """Whether no pair differs at all."""
        return self.difference.low == self.difference.mean == self.difference.high == 0

    @property
    def beyond_chance(self) -> bool:
        return self.adjusted < LEVEL


@dataclass(frozen=True)
class Comparison:
    """First minus second. `decisive` is over seeds where two or more are shared, else over problems, else unpaired;
    `items` is the test over problems beside one over seeds."""

    block: Block
    first: Standing
    second: Standing
    decisive: Test
    items: Test | None


def compare(blocks: Sequence[Block]) -> list[Comparison]:
    """All comparisons of a report. The decisive tests are one family for Holm's correction, those over problems that
    stand beside them another. Pairs that no test applies to (single losses) are left out."""
    found = []
    for block in blocks:
        for first, second in _pairs(block):
            seeds, items = _over_seeds(first, second), _over_items(first, second)
            decisive = seeds or items or _unpaired(first, second)
            if decisive is not None:
                found.append((block, first, second, decisive, items if seeds else None))
    adjusted = iter(holm([decisive[0].p for *_, decisive, _ in found]))
    beside = iter(holm([items[0].p for *_, items in found if items is not None]))
    return [
        Comparison(block, first, second, _test(decisive, next(adjusted)), items and _test(items, next(beside)))
        for block, first, second, decisive, items in found
    ]


Raw = tuple[Difference, int, str]
"""A difference, the number of its pairs, and the name of the test."""


def _test(raw: Raw, adjusted: float) -> Test:
    difference, pairs, name = raw
    return Test(difference, adjusted, pairs, name)


def _pairs(block: Block) -> list[tuple[Standing, Standing]]:
    if len(block.standings) <= MOST_PAIRED:
        return list(combinations(block.standings, 2))
    first, *others = block.standings
    return [(other, first) for other in others]


def _over_seeds(first: Standing, second: Standing) -> Raw | None:
    one, other = first.values, second.values
    seeds = [seed for seed in one if seed in other]
    if len(seeds) < 2:
        return None
    return paired_t([one[seed] for seed in seeds], [other[seed] for seed in seeds]), len(seeds), OVER_SEEDS


def _over_items(first: Standing, second: Standing) -> Raw | None:
    """Of each problem the share of an arm's runs that answer it rightly; of one run each, McNemar's exact p."""
    one, other = _right(first), _right(second)
    problems = [problem for problem in one if problem in other]
    if len(problems) < 2:
        return None
    first_P, second_P = [one[name] for name in problems], [other[name] for name in problems]
    difference = paired_t(first_P, second_P)
    if len(first.runs) == len(second.runs) == 1:
        p = mcnemar_exact([share == 1 for share in first_P], [share == 1 for share in second_P]).p
        return replace(difference, p=p), len(problems), "McNemar over problems"
    return difference, len(problems), "paired t over problems"


def _unpaired(first: Standing, second: Standing) -> Raw | None:
    """Of two accuracies that nothing pairs: the problems are taken for different ones, which asks for more evidence."""
    counts = [_counts(first), _counts(second)]
    if None in counts:
        return None
    (right, problems), (other_right, other_problems) = counts
    difference = unpaired_difference(right, problems, other_right, other_problems)
    return difference, min(problems, other_problems), "unpaired shares"


def _right(standing: Standing) -> dict[str, float]:
    """Problem -> share of the runs with a record that answer it rightly; only problems that all of them have."""
    records = [run.items for run in standing.runs.values() if run.items]
    if not records or len(records) < len(standing.runs):
        return {}
    return {
        problem: sum(record[problem] for record in records) / len(records)
        for problem in records[0]
        if all(problem in record for record in records)
    }


def _counts(standing: Standing) -> tuple[int, int] | None:
    """Right answers and answers of a single run, one answer a problem."""
    if len(standing.runs) > 1:
        return None
    return counted(next(iter(standing.runs.values())).evaluation("after"))


def counted(evaluation: dict) -> tuple[int, int] | None:
    """Right answers and problems of an evaluation with one answer a problem, else None."""
    correct, problems = evaluation.get("correct"), evaluation.get("problems")
    sound = type(correct) is int and type(problems) is int and 0 <= correct <= problems and problems > 0
    return (correct, problems) if sound and evaluation.get("samples", 1) == 1 else None
