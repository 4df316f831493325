"""Environments of the `verifiers` library as a task: their data, their replies and their rewards."""

import json
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import field, replace
from functools import lru_cache, partial
from importlib.metadata import version
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from paring.runtime.rows import message_of
from paring.settings.declare import settings
from paring.settings.guard import guarded
from paring.settings.own_code import function_in
from paring.tasks.judge import JudgedTask
from paring.tasks.own_calls import CallFailed, Failed, Seconds, replied
from paring.tasks.splits import digest, three_splits
from paring.types import Environment, Message, Problem, Reply, Score, Split

MISSING = 'the task verifiers needs that library, below 0.3: pip install "paring[verifiers]"'


@settings
class VerifiersTask(JudgedTask):
    """An environment of the library `verifiers`, with one turn or several. Needs the `verifiers` extra.

    environment   its id, a package with `load_environment`, or a function in a Python file: "my.py:load_environment"
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
        """Raises ModuleNotFoundError without the extra, and ValueError for an environment that cannot be used."""
        own = self._loaded()
        with guarded(f"{self._what}: its data"):
            rows = [self._problem(dict(row)) for row in own.get_dataset()]
            has_tests = own.eval_dataset is not None or own.eval_dataset_source is not None
            tested = [self._problem(dict(row)) for row in own.get_eval_dataset()] if has_tests else None
        return three_splits(rows, lambda problem: problem.id, tested, self._what)[split]

    def score(self, problem: Problem, text: str) -> Score:
        """As the first answer of a conversation."""
        assert problem.environment is not None, "a problem of this task"
        return problem.environment.reply([{"role": "assistant", "content": text}]).score

    @property
    def _what(self) -> str:
        return f"task.environment = {self.environment!r}"

    def _loaded(self) -> Any:
        return _load(self.environment, json.dumps(self.arguments, sort_keys=True))

    def _problem(self, row: dict[str, object]) -> Problem:
        prompt = row["prompt"]
        if not isinstance(prompt, list):
            raise ValueError(f"{self._what}: a prompt is no list of turns: completions without a chat are not taken")
        messages = tuple(message_of(_plain(turn), "prompt", self._what) for turn in prompt)
        mark = digest(json.dumps([messages, str(row.get("answer")), str(row.get("info"))]))
        problem = Problem(f"verifiers/{mark}", messages, str(row.get("answer") or ""))
        return replace(problem, environment=Environment(partial(self._reply, row), self.answers))

    def _reply(self, row: Mapping[str, object], turns: Sequence[Message]) -> Reply:
        """Raises CallFailed unless failures are skipped."""
        play = partial(_played, self._loaded(), row, [dict(turn) for turn in turns], self.correct_at)
        return replied(f"{self._what}: its reply", play, seconds=self.seconds, failed=self.failed)


class _NextTurn(BaseException):
    """The environment asks for an answer that is not there yet, after this prompt. No Exception, so that the
    environment does not take it for a failure of the model."""

    def __init__(self, prompt: Sequence[object]) -> None:
        self.prompt = prompt


async def _played(own: Any, row: Mapping[str, object], turns: Sequence[Message], correct_at: float) -> Reply:
    """The conversation from its beginning, with the answers that stand in `turns`, up to where another one is needed.

    So the environment needs no state between two calls. Raises CallFailed where it replies otherwise than before."""
    from verifiers.clients import OpenAIChatCompletionsClient  # pyright: ignore[reportMissingImports]  an extra
    from verifiers.types import Response, ResponseMessage  # pyright: ignore[reportMissingImports]  an extra

    answers = [turn["content"] for turn in turns if turn["role"] == "assistant"]

    async def respond(state: Any, prompt: Sequence[object], *_: object, **__: object) -> object:
        number = len(state["trajectory"])
        if number == len(answers):
            raise _NextTurn(prompt)
        message = ResponseMessage(content=answers[number], finish_reason="stop", is_truncated=False)
        return Response(id=f"answer-{number}", created=0, model="policy", message=message)

    playing = copy(own)
    playing.get_model_response = respond
    asked_of = OpenAIChatCompletionsClient(None)  # the library wants a client; this one is never asked
    try:
        state = await playing.rollout(row, client=asked_of, model="policy", sampling_args={})
    except _NextTurn as asked:
        prompt = row["prompt"]
        assert isinstance(prompt, list)
        said = [_plain(turn) for turn in asked.prompt][len(prompt) :]
        if [one["content"] for one in said[: len(turns)]] != [turn["content"] for turn in turns]:
            words = "it replies otherwise to the same answers: an environment must be the same each time"
            raise CallFailed(words) from None
        return Reply(tuple(said[len(turns) :]), Score({"reward": 0.0}, False))
    if state.get("error") is not None:
        raise CallFailed(f"it ended with {state['error']!r}")
    await own.rubric.score_rollout(state)
    reward = float(state["reward"])
    return Reply(score=Score({"reward": reward}, reward >= correct_at))


def _plain(turn: Any) -> Message:
    """A turn of the library's, or of a row."""
    role, content = (turn["role"], turn["content"]) if isinstance(turn, dict) else (turn.role, turn.content)
    if not isinstance(content, str):
        raise CallFailed(f"a turn of the {role} is no text: images and calls of tools are not taken")
    return {"role": role, "content": content}


@lru_cache(maxsize=8)
def _load(environment: str, arguments: str) -> Any:
    try:
        import verifiers  # pyright: ignore[reportMissingImports]  an extra

        load = verifiers.load_environment
    except ImportError as error:
        raise ModuleNotFoundError(MISSING) from error
    except AttributeError as error:
        raise ModuleNotFoundError(f"{MISSING} ({version('verifiers')} is installed)") from error
    what = f"task.environment = {environment!r}"
    function: Callable[..., object] = partial(load, environment)
    if environment.rpartition(":")[0].endswith(".py"):
        function = function_in(environment, setting="task.environment", example="my.py:load_environment")
    with guarded(what):
        try:
            own: Any = function(**json.loads(arguments))
        except Exception as error:  # whatever it raises
            raise ValueError(f"{what} cannot be loaded: {type(error).__name__}: {error}") from error
    if not isinstance(own, verifiers.Environment):
        raise ValueError(f"{what} gave {type(own).__name__}; it must give an environment of verifiers")
    if own.tool_defs:
        raise ValueError(f"{what} has tools, and calls of tools are not read from answers: choose one without")
    return own
