"""Two models on the same problems: the difference, whether chance explains it, and how many problems would tell."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from paring.evaluation.items import Item
from paring.maths.estimates import Difference, Discordant, holm, mcnemar_exact, paired_bootstrap
from paring.maths.power import problems_needed

SIZES = (0.01, 0.02, 0.05, 0.1)
"""Differences of accuracy for which the number of problems needed is told."""


@dataclass(frozen=True)
class Comparison:
    """Subject minus the other, over the problems of one task.

    difference   of accuracies, by paired bootstrap over problems
    discordant   with one answer a problem: McNemar's exact test; else None
    p            McNemar's where there is one, else the bootstrap's; `p_holm` adjusted for all tasks compared
    needed       size of a difference -> problems at which it is seen with a power of 80 % at 5 %, if as large a share
                 of problems as here is answered rightly by one of the two alone
    """

    problems: int
    first: float
    second: float
    difference: Difference
    discordant: Discordant | None
    p: float
    p_holm: float
    needed: dict[float, int]

    def as_plain(self) -> dict[str, Any]:
        return asdict(self)


def compare(first: Mapping[str, Sequence[Item]], second: Mapping[str, Sequence[Item]]) -> dict[str, Comparison]:
    """Task by task. Raises ValueError where the problems of a task are not the same ones in the same order."""
    found = {task: _compared(task, first[task], second[task]) for task in first}
    adjusted = holm([comparison.p for comparison in found.values()])
    return {task: replace(comparison, p_holm=p) for (task, comparison), p in zip(found.items(), adjusted, strict=True)}


def _compared(task: str, first: Sequence[Item], second: Sequence[Item]) -> Comparison:
    if [item["problem"] for item in first] != [item["problem"] for item in second]:
        raise ValueError(f"{task}: the two did not answer the same problems, so they cannot be paired")
    first_P, second_P = [_right(item) for item in first], [_right(item) for item in second]
    difference = paired_bootstrap(first_P, second_P, seed=0)
    discordant = None
    if all(len(item["answers"]) == 1 for item in [*first, *second]):
        discordant = mcnemar_exact([share == 1 for share in first_P], [share == 1 for share in second_P])
    apart = sum((one - other) ** 2 for one, other in zip(first_P, second_P, strict=True)) / len(first)
    p = difference.p if discordant is None else discordant.p
    return Comparison(
        problems=len(first),
        first=sum(first_P) / len(first),
        second=sum(second_P) / len(first),
        difference=difference,
        discordant=discordant,
        p=p,
        p_holm=p,
        needed={size: problems_needed(size, apart) for size in SIZES},
    )


def _right(item: Item) -> float:
    return sum(answer["correct"] for answer in item["answers"]) / len(item["answers"])
