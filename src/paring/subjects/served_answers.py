"""The side that answers for a subject: this process, or vLLM servers, to which its adapter is published for so long."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from paring.evaluation.exam import Exam
from paring.evaluation.request import Request
from paring.policy.chat import prompt_tokens
from paring.policy.model import Policy
from paring.rollout.engine import Engine
from paring.rollout.served.connecting import connect
from paring.rollout.served.published import Shelf
from paring.rollout.served.served_engine import ServedEngine
from paring.runtime.screen import Screen
from paring.settings.options import Naming, OptionError
from paring.subjects.opening import Subject

PATIENCE = 600.0
"""Seconds that a server may be away."""
SERVED = "answered by servers: equal tokens on the same servers, up to rounding; greedy answers as in this process"


@contextmanager
def answering(
    subject: Subject,
    exams: Sequence[Exam],
    request: Request,
    folder: Path,
    screen: Screen,
    engine_of: Callable[[Policy, int], Engine],
) -> Iterator[Engine]:
    """The engine that answers: that of this process, or the servers of the request, which see `folder`. That a model is
    slow here is said, with the reason. Raises OptionError where a server does not answer, has another base, or no room
    for the adapter or the longest problem."""
    if request.server:
        with _servers(subject, exams, request.server, folder, screen) as engine:
            yield engine
        return
    if subject.policy.unpacked is not None:
        screen.note(f"{type(subject.policy.model).__name__}: {subject.policy.pace}")
    yield engine_of(subject.policy, request.rows)


@contextmanager
def _servers(
    subject: Subject, exams: Sequence[Exam], urls: Sequence[str], folder: Path, screen: Screen
) -> Iterator[ServedEngine]:
    policy = subject.policy
    longest = max(
        len(prompt_tokens(policy.tokenizer, problem.messages)) + exam.max_new_tokens
        for exam in exams
        for problem in exam.problems
    )
    rank = max((adapter.rank for adapter in policy.adapters.values()), default=0)
    shelf = Shelf(folder.resolve() / "published", subject.base)
    try:
        engine = connect(policy, shelf, urls, longest=longest, rank=rank, patience=PATIENCE, note=screen.note)
    except ValueError as error:
        raise _of_an_evaluation(str(error)) from error
    try:
        engine.sweep()
        yield engine
    finally:
        engine.close()


def _of_an_evaluation(words: str) -> OptionError:
    """The words of a run's servers, with the options of an evaluation in the place of a recipe's settings."""

    def in_options(option: Naming) -> str:
        others = {
            "rollout.max_new_tokens": option("max_new_tokens"),
            "set rollout.servers_see to its path there": f"let {option('out')} be in a folder that it sees",
            " (rollout.patience)": "",
            "rollout.servers": option("server"),
        }
        result = words
        for setting, other in others.items():
            result = result.replace(setting, other)
        return result

    return OptionError(in_options)
