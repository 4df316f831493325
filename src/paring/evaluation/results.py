"""The results of an evaluation, as data: the record of each task, and the comparison where there is one."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from paring.evaluation.answering import Answered
from paring.evaluation.exam import About, Exam
from paring.evaluation.items import Item
from paring.evaluation.measuring import Evaluation
from paring.evaluation.request import Request
from paring.maths.estimates import holm
from paring.maths.pairing import Paired, paired
from paring.types import Json

SIZES = (0.01, 0.02, 0.05, 0.1)
"""Differences of accuracy for which the number of problems needed is given."""


@dataclass(frozen=True)
class Comparison:
    """The other model less the subject, over the problems of one task; `p_holm` is adjusted for all tasks compared."""

    paired: Paired
    p_holm: float

    def as_plain(self) -> dict[str, Json]:
        pair = self.paired
        return asdict(pair) | {
            "difference": pair.difference,
            "interval": [pair.low, pair.high],
            "p_holm": self.p_holm,
            "needed": {str(size): pair.needed(size) for size in SIZES},
        }


@dataclass(frozen=True)
class TaskResult:
    """One task: how it was put, the record of the subject, and where there is another model its record and the
    comparison."""

    about: About
    evaluation: Evaluation
    other: Evaluation | None = None
    comparison: Comparison | None = None

    def as_plain(self) -> dict[str, Json]:
        plain = self.evaluation.as_plain() | asdict(self.about)
        if self.other is None or self.comparison is None:
            return plain
        return plain | {"other": self.other.as_plain(), "comparison": self.comparison.as_plain()}


@dataclass(frozen=True)
class Results:
    """The results of all tasks. `base` is the model, or that of the adapters."""

    request: Request
    base: str
    tasks: Sequence[TaskResult]
    notes: Sequence[str]
    versions: Mapping[str, str]

    def as_plain(self) -> dict[str, Json]:
        return {
            "request": asdict(self.request),
            "base": self.base,
            "notes": list(self.notes),
            "versions": dict(self.versions),
            "tasks": [task.as_plain() for task in self.tasks],
        }

    def for_scripts(self) -> dict[str, Json]:
        """The object of the task where there is one task, else all of it."""
        return self.tasks[0].as_plain() if len(self.tasks) == 1 else self.as_plain()


def task_results(exams: Sequence[Exam], first: Sequence[Answered], second: Sequence[Answered]) -> list[TaskResult]:
    """By task, from the answers of the subject, and of the other where there is one."""
    if not second:
        return [TaskResult(exam.about(), one.evaluation) for exam, one in zip(exams, first, strict=True)]
    comparisons = compared([one.items for one in first], [one.items for one in second])
    return [
        TaskResult(exam.about(), one.evaluation, other.evaluation, comparison)
        for exam, one, other, comparison in zip(exams, first, second, comparisons, strict=True)
    ]


def compared(first: Sequence[Sequence[Item]], second: Sequence[Sequence[Item]]) -> list[Comparison]:
    """Second less first, task by task. Raises ValueError where their problems are not the same ones in the same order,
    or fewer than two."""
    pairs = []
    for one, other in zip(first, second, strict=True):
        if [item.problem for item in one] != [item.problem for item in other]:
            raise ValueError("the two did not answer the same problems, so they cannot be paired")
        pairs.append(paired([item.share for item in one], [item.share for item in other]))
    return [Comparison(*both) for both in zip(pairs, holm([pair.p for pair in pairs]), strict=True)]
