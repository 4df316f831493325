"""Environments and tasksets of the `verifiers` library as a task: their data, their replies and their rewards."""

import json
from collections.abc import Callable, Sequence
from dataclasses import field
from functools import lru_cache, partial
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from paring.settings.declare import settings
from paring.settings.guard import guarded
from paring.settings.own_code import function_in
from paring.tasks.judge import JudgedTask
from paring.tasks.own_calls import Failed, Seconds, called, replied
from paring.tasks.splits import digest, three_splits
from paring.tasks.verifiers_environments import Environments, LibraryRow, environments_of
from paring.tasks.verifiers_tasksets import Tasksets, load_taskset, taskset_of
from paring.types import Environment, Message, Problem, Reply, Score, Split

MISSING = 'the task verifiers needs that library: pip install "paring[verifiers]"'


@settings
class VerifiersTask(JudgedTask):
    """An environment of the library `verifiers`, with one turn or several, or a taskset. Needs the `verifiers` extra.

    environment   the id of an installed package, or a function in a Python file: "my.py:load_environment"
    arguments     arguments of that function
    correct_at    a conversation counts as right if its reward is at least this
    answers       the most answers of a conversation
    seconds       the longest that a reply may take; 0: no limit
    failed        "stop": an environment that fails ends the run; "skip": its conversation is left out, and counted

    The library's evaluation data are `test`; without any an eighth is. The next eighth is `validation`.
    """

    name: Literal["verifiers"] = "verifiers"
    environment: str
    arguments: dict[str, JsonValue] = field(default_factory=dict)
    correct_at: float = 1.0
    answers: Annotated[int, Field(ge=1, le=1000)] = 16
    seconds: Seconds = 600.0
    failed: Failed = "stop"

    def problems(self, split: Split) -> Sequence[Problem]:
        """Raises ModuleNotFoundError without the extra, and ValueError for what cannot be used."""
        own = self._loaded()

        def rows() -> list[list[Problem] | None]:
            tests = own.tests()
            return [
                [self._problem(one) for one in own.questions()],
                None if tests is None else [self._problem(one) for one in tests],
            ]

        given = called(f"{self._what}: its data", rows, seconds=0)
        assert isinstance(given, list)
        return three_splits(given[0], lambda problem: problem.id, given[1], self._what)[split]

    def score(self, problem: Problem, text: str) -> Score:
        """As the first answer of a conversation."""
        assert problem.environment is not None, "a problem of this task"
        return problem.environment.reply([{"role": "assistant", "content": text}]).score

    @property
    def _what(self) -> str:
        return f"task.environment = {self.environment!r}"

    def _loaded(self) -> Environments | Tasksets:
        return _load(self.environment, json.dumps(self.arguments, sort_keys=True))

    def _problem(self, one: LibraryRow) -> Problem:
        environment = Environment(partial(self._reply, one), self.answers)
        return Problem(f"verifiers/{digest(one.identity)}", one.messages, one.gold, environment=environment)

    def _reply(self, one: LibraryRow, turns: Sequence[Message]) -> Reply:
        """Raises CallFailed unless failures are skipped."""
        play = partial(self._loaded().reply, one, [dict(turn) for turn in turns], self.correct_at)
        return replied(f"{self._what}: its reply", play, seconds=self.seconds, failed=self.failed)


@lru_cache(maxsize=8)
def _load(environment: str, arguments: str) -> Environments | Tasksets:
    try:
        import verifiers  # pyright: ignore[reportMissingImports]  an extra
    except ImportError as error:
        raise ModuleNotFoundError(MISSING) from error
    try:
        load, read = verifiers.load_environment, environments_of
    except AttributeError:  # from 0.4 on there are tasksets in their place
        load, read = load_taskset, taskset_of
    what = f"task.environment = {environment!r}"
    function: Callable[..., object] = partial(load, environment)
    if environment.rpartition(":")[0].endswith(".py"):
        function = function_in(environment, setting="task.environment", example="my.py:load_environment")
    with guarded(what):
        try:
            own: Any = function(**json.loads(arguments))
        except Exception as error:  # whatever it raises
            raise ValueError(f"{what} cannot be loaded: {type(error).__name__}: {error}") from error
    return read(own, what)
