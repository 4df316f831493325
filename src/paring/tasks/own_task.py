"""A task of the user's own, from a Python file."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Annotated, Literal, Protocol, runtime_checkable

from pydantic import Field

from paring.settings.declare import settings
from paring.settings.guard import guarded
from paring.settings.own_code import class_in
from paring.tasks.base import UnnamedTask
from paring.tasks.judge import JudgedTask
from paring.tasks.own_calls import CallFailed, Failed, Seconds, called, check_parts, filled, problems_in, replied
from paring.types import Environment, Group, Message, Problem, Reply, Score, Split


@runtime_checkable
class OwnEnvironment(Protocol):
    """Problems, and what is replied to answers to them."""

    def problems(self, split: Split) -> Sequence[Problem]:
        """As of a task."""
        ...

    def reply(self, problem: Problem, turns: Sequence[Message]) -> Reply:
        """The reply to the last of the turns after the prompt, which are the model's and earlier replies."""
        ...


@settings
class OwnTask(JudgedTask):
    """`path = "my.py:MyTask"`: a class without arguments that has `problems(split)` and `score(problem, text)`, or, for
    conversations, `reply(problem, turns)` in its place (docs/environments.md).

    The file is run, as any program of yours is: give only files that you trust. Its `score` must return a Score
    whose reward is a finite number, whatever the text. See docs/tasks.md, and docs/rewards.md for what fails.

    seconds      the longest that `score` may take for an answer; 0: no limit
    failed       "stop": a call of `score` that fails ends the run; "skip": its answer is left out, and counted
    answers      the most answers of a conversation
    """

    name: Literal["custom"] = "custom"
    path: str
    seconds: Seconds = 600.0
    failed: Failed = "stop"
    answers: Annotated[int, Field(ge=1, le=1000)] = 8

    def problems(self, split: Split) -> Sequence[Problem]:
        """Raises ValueError where the file or the class cannot be used."""
        what, own = f"task.path = {self.path!r}: problems({split!r})", _load(self.path)
        problems = problems_in(what, called(what, own.problems, split, seconds=0))
        if not isinstance(own, OwnEnvironment):
            return problems
        return [replace(one, environment=Environment(partial(self._reply, one), self.answers)) for one in problems]

    def score(self, problem: Problem, text: str) -> Score:
        """Raises ValueError where the class gives no Score with a finite reward, fails, or takes too long."""
        what = f"task.path = {self.path!r}: score()"
        own = _load(self.path)
        if isinstance(own, OwnEnvironment):
            return self._reply(problem, [{"role": "assistant", "content": text}]).score
        return check_parts(what, called(what, own.score, problem, text, seconds=self.seconds))

    def _reply(self, problem: Problem, turns: Sequence[Message]) -> Reply:
        """Raises ValueError where the class gives no Reply, fails, or takes too long, unless failures are skipped."""
        own = _load(self.path)
        assert isinstance(own, OwnEnvironment)
        call = partial(own.reply, problem, [dict(turn) for turn in turns])
        return replied(f"task.path = {self.path!r}: reply()", call, seconds=self.seconds, failed=self.failed)

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
def _load(path: str) -> UnnamedTask | OwnEnvironment:
    own = class_in(path, setting="task.path", example="my.py:MyTask")
    names = set(dir(own))
    if "problems" not in names or not names & {"score", "reply"}:
        raise ValueError(
            f"task.path = {path!r}: {own.__name__} needs problems(split) and score(problem, text), or for "
            "conversations reply(problem, turns)"
        )
    what = f"task.path = {path!r}: {own.__name__}()"
    with guarded(what):
        try:
            return own()
        except TypeError as error:
            raise ValueError(f"{what} must work without arguments ({error})") from error
        except Exception as error:  # whatever it raises
            raise ValueError(f"{what} raised {type(error).__name__}: {error}") from error
