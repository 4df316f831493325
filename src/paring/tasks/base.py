"""What a task is: problems by split, and the check that scores an answer."""

from collections.abc import Sequence
from typing import Protocol

from paring.types import Group, Problem, Score, Split


class Task(Protocol):
    """Data and its check, named in recipes by `task.name`."""

    name: str

    def problems(self, split: Split) -> Sequence[Problem]:
        """The problems of a split, always in the same order. Splits share no problem."""
        ...

    def score(self, problem: Problem, text: str) -> Score:
        """Judge an answer. Never raises and never evaluates the text, whatever it is."""
        ...


def judged(task: Task, groups: Sequence[Group]) -> list[list[Score]]:
    """What the task says of each completion, [P][G]."""
    return [[task.score(group.problem, completion.text) for completion in group.completions] for group in groups]
