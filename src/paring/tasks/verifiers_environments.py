"""Environments of the library `verifiers` below 0.3, played anew from the beginning for each answer."""

import json
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

from paring.runtime.rows import message_of
from paring.tasks.own_calls import CallFailed
from paring.types import Message, Reply, Score


@dataclass(frozen=True)
class LibraryRow:
    """A row or a task of the library as a problem: `identity` is what makes it another than the others."""

    messages: tuple[Message, ...]
    gold: str
    identity: str
    row: Any


@dataclass(frozen=True)
class Environments:
    """The questions of an environment, and its replies."""

    own: Any
    what: str

    def questions(self) -> list[LibraryRow]:
        """Raises ValueError where a prompt is no chat."""
        return [self._question(dict(row)) for row in self.own.get_dataset()]

    def tests(self) -> list[LibraryRow] | None:
        """The library's evaluation data, where it has some."""
        if self.own.eval_dataset is None and self.own.eval_dataset_source is None:
            return None
        return [self._question(dict(row)) for row in self.own.get_eval_dataset()]

    def _question(self, row: dict[str, object]) -> LibraryRow:
        prompt = row["prompt"]
        if not isinstance(prompt, list):
            raise ValueError(f"{self.what}: a prompt is no list of turns: completions without a chat are not taken")
        messages = tuple(message_of(plain_turn(turn), "prompt", self.what) for turn in prompt)
        identity = json.dumps([messages, str(row.get("answer")), str(row.get("info"))])
        return LibraryRow(messages, str(row.get("answer") or ""), identity, row)

    async def reply(self, question: LibraryRow, turns: Sequence[Message], correct_at: float) -> Reply:
        """The conversation from its beginning, with the answers that stand in `turns`, up to where another is needed.
        So the environment needs no state between two calls.

        Raises CallFailed where it replies otherwise than before."""
        from verifiers.clients import OpenAIChatCompletionsClient  # pyright: ignore[reportMissingImports]  an extra
        from verifiers.types import Response, ResponseMessage  # pyright: ignore[reportMissingImports]  an extra

        row: Mapping[str, object] = question.row
        answers = [turn["content"] for turn in turns if turn["role"] == "assistant"]

        async def respond(state: Any, prompt: Sequence[object], *_: object, **__: object) -> object:
            number = len(state["trajectory"])
            if number == len(answers):
                raise _NextTurn(prompt)
            message = ResponseMessage(content=answers[number], finish_reason="stop", is_truncated=False)
            return Response(id=f"answer-{number}", created=0, model="policy", message=message)

        playing = copy(self.own)
        playing.get_model_response = respond
        asked_of = OpenAIChatCompletionsClient(None)  # the library wants a client; this one is never asked
        try:
            state = await playing.rollout(row, client=asked_of, model="policy", sampling_args={})
        except _NextTurn as asked:
            said = [plain_turn(turn) for turn in asked.prompt][len(question.messages) :]
            if [one["content"] for one in said[: len(turns)]] != [turn["content"] for turn in turns]:
                words = "it replies otherwise to the same answers: an environment must be the same each time"
                raise CallFailed(words) from None
            return Reply(tuple(said[len(turns) :]), Score({"reward": 0.0}, False))
        if state.get("error") is not None:
            raise CallFailed(f"it ended with {state['error']!r}")
        await self.own.rubric.score_rollout(state)
        reward = float(state["reward"])
        return Reply(score=Score({"reward": reward}, reward >= correct_at))


class _NextTurn(BaseException):
    """The environment asks for an answer that is not there yet, after this prompt. No Exception, so that the
    environment does not take it for a failure of the model."""

    def __init__(self, prompt: Sequence[object]) -> None:
        self.prompt = prompt


def environments_of(own: Any, what: str) -> Environments:
    """Raises ValueError for what is no environment, or one with tools."""
    import verifiers  # pyright: ignore[reportMissingImports]  an extra

    if not isinstance(own, verifiers.Environment):
        raise ValueError(f"{what} gave {type(own).__name__}; it must give an environment of verifiers")
    if own.tool_defs:
        raise ValueError(f"{what} has tools, and calls of tools are not read from answers: choose one without")
    return Environments(own, what)


def plain_turn(turn: Any) -> Message:
    """A turn of the library's, or of a row. Raises CallFailed where it is no text."""
    role, content = (turn["role"], turn["content"]) if isinstance(turn, dict) else (turn.role, turn.content)
    if not isinstance(content, str):
        raise CallFailed(f"a turn of the {role} is no text: images and calls of tools are not taken")
    return {"role": role, "content": content}
