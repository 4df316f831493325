"""What an evaluation found, as data: of each task the figures, and the comparison where there is one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from paring.evaluation.answering import Answers
from paring.evaluation.asked import Asked
from paring.evaluation.comparison import Comparison, compare
from paring.evaluation.figures import Summary, summary


@dataclass(frozen=True)
class Results:
    """Summaries and comparison by task, and how each was asked. `base` is the model, or that of the adapters."""

    asked: Asked
    base: str
    about: Mapping[str, dict[str, Any]]
    summaries: Mapping[str, Summary]
    others: Mapping[str, Summary]
    comparison: Mapping[str, Comparison]
    notes: Sequence[str]
    versions: Mapping[str, str] = field(default_factory=dict)

    def as_plain(self) -> dict[str, Any]:
        """One object; `tasks` holds an object for each task."""
        return {
            "asked": self.asked.as_plain(),
            "base": self.base,
            "notes": list(self.notes),
            "versions": dict(self.versions),
            "tasks": [self.of_task(task) for task in self.summaries],
        }

    def for_scripts(self) -> dict[str, Any]:
        """Of one task its own object, of several all of it."""
        return self.of_task(*self.summaries) if len(self.summaries) == 1 else self.as_plain()

    def of_task(self, task: str) -> dict[str, Any]:
        plain = {"task": task, "split": "test", "temperature": self.asked.temperature}
        plain |= self.summaries[task].as_plain() | self.about[task]
        if task in self.comparison:
            plain |= {"other": self.others[task].as_plain(), "comparison": self.comparison[task].as_plain()}
        return plain


def results(
    asked: Asked,
    base: str,
    about: Mapping[str, dict[str, Any]],
    answers: Answers,
    other: Answers | None,
    *,
    notes: Sequence[str],
    versions: Mapping[str, str],
) -> Results:
    """From the answers of the subject, and of the other it is compared with."""
    return Results(
        asked,
        base,
        about,
        _summaries(answers),
        {} if other is None else _summaries(other),
        {} if other is None else compare(answers.items, other.items),
        notes,
        versions,
    )


def _summaries(answers: Answers) -> dict[str, Summary]:
    return {task: summary(items, answers.seconds[task]) for task, items in answers.items.items()}
