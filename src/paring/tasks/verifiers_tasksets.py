"""Tasksets of the library `verifiers` from 0.4 on: questions with one answer, scored by their own rewards."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from paring.runtime.rows import message_of
from paring.tasks.own_calls import CallFailed
from paring.tasks.verifiers_environments import LibraryRow, plain_turn
from paring.types import Message, Reply, Score

NO_TOOLS = "has tools, and calls of tools are not read from answers: choose one without"


@dataclass(frozen=True)
class Tasksets:
    """The questions of a taskset, and the scores of answers to them."""

    own: Any
    what: str

    def questions(self) -> list[LibraryRow]:
        """Raises ValueError for a task that needs more than an answer: those start programs, tools or machines, which
        ask a server for the answers in place of being asked turn by turn."""
        tasks = list(self.own)
        for task in {type(task): task for task in tasks}.values():
            _check_kind(task, self.what)
        return [self._question(task) for task in tasks]

    def tests(self) -> None:
        """A taskset has one list of tasks."""

    def _question(self, task: Any) -> LibraryRow:
        data = task.data
        if data.prompt is None:
            raise ValueError(f"{self.what}: a task has no prompt: simulated users are not taken")
        turns = [{"role": "user", "content": data.prompt}] if isinstance(data.prompt, str) else data.prompt
        system = [] if data.system_prompt is None else [{"role": "system", "content": data.system_prompt}]
        messages = tuple(message_of(plain_turn(turn), "prompt", self.what) for turn in (*system, *turns))
        if others := {turn["role"] for turn in messages} - {"system", "user", "assistant"}:
            raise ValueError(f"{self.what}: a prompt has a turn of the {others.pop()}: not taken")
        return LibraryRow(messages, str(data.model_dump().get("answer") or ""), task.key, task)

    async def reply(self, question: LibraryRow, turns: Sequence[Message], correct_at: float) -> Reply:
        """The end of a conversation of one answer, with its weighted rewards by name. Raises CallFailed."""
        import verifiers.v1 as library  # pyright: ignore[reportMissingImports]  an extra
        from verifiers.v1.state import state_cls  # pyright: ignore[reportMissingImports]

        task, said = question.row, [*question.messages, *turns]
        kinds = {"system": library.SystemMessage, "user": library.UserMessage, "assistant": library.AssistantMessage}
        nodes = [
            library.MessageNode(
                parent=place - 1 if place else None,
                message=kinds[turn["role"]](content=turn["content"]),
                sampled=place >= len(question.messages),
            )
            for place, turn in enumerate(said)
        ]
        trace = library.Trace(
            task=library.TraceTask(type=type(task).__name__, data=task.data, key=task.key),
            state=state_cls(type(task))(),
            agent=library.AgentInfo(config=library.AgentConfig()),
            nodes=nodes,
            is_completed=True,
        )
        await task.score(trace)
        parts = {name: reward.value for name, reward in trace.rewards.items() if reward is not None}
        if not parts:
            raise CallFailed("its task has no reward")
        return Reply(score=Score(parts, sum(parts.values()) >= correct_at))


def taskset_of(own: Any, what: str) -> Tasksets:
    """Raises ValueError for what is no taskset, has no end or has tools."""
    import verifiers.v1 as library  # pyright: ignore[reportMissingImports]  an extra

    if not isinstance(own, library.Taskset):
        raise ValueError(f"{what} gave {type(own).__name__}; it must give a taskset of verifiers")
    if not own.bounded:
        raise ValueError(f"{what} gives tasks without end: bound it with take(N) in a function of your own")
    if own.toolsets(own.config):
        raise ValueError(f"{what} {NO_TOOLS}")
    return Tasksets(own, what)


def load_taskset(name: str, **arguments: object) -> object:
    """The taskset of an installed package, by its id. Raises ValueError where the package has agents of its own."""
    import verifiers.v1 as library  # pyright: ignore[reportMissingImports]  an extra

    if library.environment_class(name) is not library.SingleAgentEnv:
        raise ValueError("the package has agents of its own, which ask servers: not taken")
    return library.load_taskset(library.taskset_config_type(name)(id=name, **arguments))


def _check_kind(task: Any, what: str) -> None:
    from verifiers.v1 import Task  # pyright: ignore[reportMissingImports]  an extra

    kind = type(task)
    if task.toolsets(task.config):
        raise ValueError(f"{what} {NO_TOOLS}")
    machine = [kind.setup is not Task.setup, kind.finalize is not Task.finalize, kind.NEEDS_CONTAINER]
    machine += [_is_required("runtime", reward) for reward in task.hooks("reward")]
    if any(machine):
        words = "needs a machine to work in: only tasks that need an answer alone are taken"
        raise ValueError(f"{what}: its {kind.__name__} {words}")


def _is_required(name: str, function: Any) -> bool:
    parameter = inspect.signature(function).parameters.get(name)
    return parameter is not None and parameter.default is inspect.Parameter.empty
