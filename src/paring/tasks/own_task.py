"""A task of the user's own, from a Python file."""

from collections.abc import Sequence
from functools import lru_cache
from math import isfinite
from typing import Literal

from paring.settings.declare import settings
from paring.settings.guard import guarded
from paring.settings.own_code import class_in
from paring.tasks.base import UnnamedTask
from paring.tasks.own_calls import CallFailed, Failed, Seconds, called, filled
from paring.types import Group, Problem, Score, Split


@settings
class OwnTask:
    """`path = "my.py:MyTask"`: a class without arguments that has `problems(split)` and `score(problem, text)`.

    The file is run, as any program of yours is: give only files that you trust. Its `score` must return a Score
    whose reward is a finite number, whatever the text. See docs/tasks.md, and docs/rewards.md for what fails.

    seconds      the longest that `score` may take for an answer; 0: no limit
    failed       "stop": a call of `score` that fails ends the run; "skip": its answer is left out, and counted
    """

    name: Literal["custom"] = "custom"
    path: str
    seconds: Seconds = 600.0
    failed: Failed = "stop"

    def problems(self, split: Split) -> Sequence[Problem]:
        """Raises ValueError where the file or the class cannot be used."""
        with guarded(f"task.path = {self.path!r}: problems()"):
            return _load(self.path).problems(split)

    def score(self, problem: Problem, text: str) -> Score:
        """Raises ValueError where the class gives no Score with a finite reward, fails, or takes too long."""
        what = f"task.path = {self.path!r}: score()"
        score = called(what, _load(self.path).score, problem, text, seconds=self.seconds)
        if not isinstance(score, Score):
            raise CallFailed(f"{what} gave {type(score).__name__}; return a Score")
        if bad := [
            name for name, part in score.parts.items() if not isinstance(part, int | float) or not isfinite(part)
        ]:
            raise CallFailed(f"{what} gave the part {bad[0]!r} a reward that is not finite: {score.parts[bad[0]]!r}")
        return score

    def score_groups(self, groups: Sequence[Group]) -> list[list[Score]]:
        """A score for each completion, [P][G]. Raises as `score`, unless failures are skipped."""
        scores = []
        for group in groups:
            score_G: list[Score | None] = []
            failed_G: list[dict[str, str]] = []
            for completion in group.completions:
                try:
                    score, failed = self.score(group.problem, completion.text), {}
                except CallFailed as error:
                    if self.failed == "stop":
                        raise
                    score, failed = None, {"score": str(error)}
                score_G.append(score)
                failed_G.append(failed)
            scores.append(filled(score_G, failed_G))
        return scores


@lru_cache(maxsize=8)
def _load(path: str) -> UnnamedTask:
    own = class_in(path, setting="task.path", example="my.py:MyTask")
    if not {"problems", "score"} <= set(dir(own)):
        raise ValueError(f"task.path = {path!r}: {own.__name__} needs problems(split) and score(problem, text)")
    try:
        return own()
    except TypeError as error:
        raise ValueError(f"task.path = {path!r}: {own.__name__}() must work without arguments ({error})") from error
