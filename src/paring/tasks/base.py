"""What a task is: problems by split, and the check that scores an answer."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

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


@runtime_checkable
class BatchTask(Task, Protocol):
    """A task that judges many answers at once faster than one by one."""

    def score_all(self, pairs: Sequence[tuple[Problem, str]]) -> list[Score]:
        """As `score` of each."""
        ...


def judged(task: Task, groups: Sequence[Group]) -> list[list[Score]]:
    """What the task says of each completion, [P][G]."""
    pairs = [(group.problem, completion.text) for group in groups for completion in group.completions]
    scores = iter(task.score_all(pairs) if isinstance(task, BatchTask) else [task.score(*pair) for pair in pairs])
    return [[next(scores) for _ in group.completions] for group in groups]
