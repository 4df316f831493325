"""A task of the user's own, from a Python file."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from paring.settings.declare import settings
from paring.settings.own_code import class_in, guarded
from paring.tasks.base import UnnamedTask
from paring.types import Problem, Score, Split


@settings
class OwnTask:
    """`path = "my.py:MyTask"`: a class without arguments that has `problems(split)` and `score(problem, text)`.

    The file is run, as any program of yours is: give only files that you trust. Its `score` must return a Score
    whose reward is a finite number, whatever the text. See docs/tasks.md."""

    name: Literal["custom"] = "custom"
    path: str

    def problems(self, split: Split) -> Sequence[Problem]:
        """Raises ValueError where the file or the class cannot be used."""
        with guarded(f"task.path = {self.path!r}: problems()"):
            return _load(self.path).problems(split)

    def score(self, problem: Problem, text: str) -> Score:
        """Raises ValueError where the class gives no Score."""
        with guarded(f"task.path = {self.path!r}: score()"):
            score = _load(self.path).score(problem, text)
        if not isinstance(score, Score):
            raise ValueError(f"task.path = {self.path!r}: score() gave {type(score).__name__}; return a Score")
        return score


@lru_cache(maxsize=8)
def _load(path: str) -> UnnamedTask:
    own = class_in(path, setting="task.path", example="my.py:MyTask")
    if not {"problems", "score"} <= set(dir(own)):
        raise ValueError(f"task.path = {path!r}: {own.__name__} needs problems(split) and score(problem, text)")
    try:
        return own()
    except TypeError as error:
        raise ValueError(f"task.path = {path!r}: {own.__name__}() must work without arguments ({error})") from error
