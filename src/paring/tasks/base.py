"""What a task is: problems by split, and the check that scores an answer."""

from collections.abc import Sequence
from typing import Protocol

from paring.types import Problem, Score, Split


class Task(Protocol):
    """Data and its check, named in recipes by `task.name`."""

    name: str

    def problems(self, split: Split) -> Sequence[Problem]:
        """The problems of a split, always in the same order. Splits share no problem."""
        ...

    def score(self, problem: Problem, text: str) -> Score:
        """Judge an answer. Never raises and never evaluates the text, whatever it is."""
        ...
