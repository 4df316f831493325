"""Calls of the user's own reward code: within their bounds, and with what they give checked."""

import math
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from inspect import isawaitable
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Annotated, Literal, SupportsFloat

from pydantic import Field

from paring.runtime.interruption import Interrupted
from paring.runtime.loops import awaited
from paring.runtime.rows import message_of
from paring.runtime.text import one_line
from paring.settings.guard import TimeIsUp, guarded
from paring.types import Problem, Reply, Score

Failed = Literal["stop", "skip"]
"""The answer to a reward that could not be computed: "stop" ends the run with the reason; "skip" goes on without
it, and counts it."""
Seconds = Annotated[float, Field(ge=0, le=86_400)]
LONGEST_REASON = 500
"""Characters of an exception of the user's code in a message."""
MOST_REWARDS = 100_000
LARGEST = 1e30
"""A reward beyond it is none: sums of rewards have to be numbers."""
NO_REWARD = "no reward"
"""The class of verdicts of an answer whose reward could not be computed."""
PACKAGE = Path(__file__).parents[1]


class CallFailed(ValueError):
    """Code of the user's own failed, took too long, or gave what is no reward. In words for the user."""


def called(what: str, function: Callable[..., object], *arguments: object, seconds: float, **named: object) -> object:
    """The result of a function of the user's, awaited where that is needed. Raises CallFailed."""
    try:
        with guarded(what, seconds=seconds):
            try:
                given = function(*arguments, **named)
                given = awaited(given) if isawaitable(given) else given
                # A generator's own code runs within the bounds, too; a few more than fit no batch say enough.
                return list(islice(given, MOST_REWARDS)) if isinstance(given, Iterator) else given
            except (KeyboardInterrupt, SystemExit, TimeIsUp, Interrupted):
                raise
            except BaseException as error:  # whatever it raises
                reason = one_line(f"{type(error).__name__}: {_words(str, error)}", LONGEST_REASON)
                raise CallFailed(f"{what} raised {reason}{_place(error)}") from error
    except CallFailed:
        raise
    except (ValueError, TimeoutError) as error:
        raise CallFailed(str(error)) from error


def rewards_in(what: str, given: object, count: int) -> list[float | None]:
    """The rewards of `count` completions: None where a function does not apply, which NaN means too. Raises
    CallFailed."""
    numbers: list[float | None] = []
    try:
        if not isinstance(given, Iterable) or isinstance(given, Mapping | Set):
            raise TypeError(f"not {type(given).__name__}")
        for reward in given:
            if reward is not None and not isinstance(reward, SupportsFloat):
                raise TypeError(f"not {one_line(_words(repr, reward), LONGEST_REASON)}")
            number = math.nan if reward is None else float(reward)
            if abs(number) > LARGEST:
                raise ValueError("not infinity" if math.isinf(number) else f"not {number:g}, beyond {LARGEST:g}")
            numbers.append(None if math.isnan(number) else number)  # NaN is how TRL itself writes None
    except Exception as error:  # whatever the values themselves raise
        words = f"{what} must give a list with a finite number or None for each completion ({_words(str, error)})"
        raise CallFailed(words) from error
    if len(numbers) != count:
        raise CallFailed(f"{what} gave {len(numbers)} rewards for {count} completions; one for each")
    return numbers


def replied(what: str, reply: Callable[[], object], *, seconds: float, failed: Failed) -> Reply:
    """The reply of an environment of the user's own, checked. Where failures are skipped, one that fails ends the
    conversation, without a score. Raises CallFailed unless they are."""
    try:
        given = called(what, reply, seconds=seconds)
        if not isinstance(given, Reply):
            raise CallFailed(f"{what} gave {type(given).__name__}; return a paring.Reply")
        check_parts(what, given.score)
        try:
            turns = [message_of(turn, f"message[{place}]", what) for place, turn in enumerate(given.turns)]
        except (ValueError, TypeError) as error:
            raise CallFailed(str(error)) from error
        return Reply(tuple(turns), given.score)
    except CallFailed as error:
        if failed == "stop":
            raise
        return Reply(score=Score({}, False, failed={"reply": str(error)}))


def check_parts(what: str, score: object) -> Score:
    """The score, its parts as plain numbers. Raises CallFailed where it is none, or a part of its reward is no finite
    number."""
    if not isinstance(score, Score):
        raise CallFailed(f"{what} gave {type(score).__name__}; return a Score")
    if not isinstance(score.parts, dict):
        raise CallFailed(f"{what} gave parts that are {type(score.parts).__name__}; give a number by name")
    parts = {name: _number(what, name, part) for name, part in score.parts.items()}
    if not isinstance(score.correct, bool):  # numpy has truth values of its own
        if type(score.correct).__name__ not in ("bool", "bool_"):
            raise CallFailed(f"{what} gave correct={_words(repr, score.correct)}; give True or False")
        score = replace(score, correct=bool(score.correct))
    return score if parts == score.parts and all(map(_is_plain, score.parts.values())) else replace(score, parts=parts)


def _is_plain(part: object) -> bool:
    return type(part) in (int, float, bool)


def _number(what: str, name: object, part: object) -> float:
    """Raises CallFailed."""
    number = math.nan
    with suppress(Exception):  # whatever a value of the user's raises
        if isinstance(part, SupportsFloat) and isinstance(name, str):
            number = part if isinstance(part, int | float) and _is_plain(part) else float(part)
    if not abs(number) <= LARGEST:
        words = f"{what} gave the part {_words(repr, name)} a reward that is not finite: {_words(repr, part)}"
        raise CallFailed(words)
    return number


def problems_in(what: str, given: object) -> list[Problem]:
    """The problems of a split. Raises CallFailed where they are none that a run can use."""
    if not isinstance(given, Iterable) or isinstance(given, str | Mapping):
        raise CallFailed(f"{what} must give a list of paring.Problem, not {type(given).__name__}")
    problems = list(given)
    for place, problem in enumerate(problems):
        if not isinstance(problem, Problem):
            raise CallFailed(f"{what} must give a list of paring.Problem, not of {type(problem).__name__}")
        for name, text in (("id", problem.id), ("gold", problem.gold)):
            if not isinstance(text, str):
                raise CallFailed(f"{what}[{place}]: {name} is {type(text).__name__}, a text is needed")
        if not isinstance(problem.messages, tuple | list) or not problem.messages:
            raise CallFailed(f"{what}[{place}]: messages must be turns like {{'role', 'content'}}, one at least")
        try:
            turns = [
                message_of(turn, f"messages[{at}]", f"{what}[{place}]") for at, turn in enumerate(problem.messages)
            ]
        except ValueError as error:
            raise CallFailed(str(error)) from error
        if turns[-1]["role"] == "assistant":
            raise CallFailed(f"{what}[{place}]: the prompt ends with the assistant's turn; it must end with the user's")
    return problems


def filled(
    score_G: Sequence[Score | None], failed_G: Sequence[dict[str, str]], names: Sequence[str] = ()
) -> list[Score]:
    """The scores of a group. An answer without one gets the mean of the others, so that its advantage is 0, and is not
    correct; where there are no others, 0. `failed_G`: the parts that could not be computed, each with the reason;
    `names`: those of the parts."""
    judged = [score for score in score_G if score is not None]
    all_names = dict.fromkeys([*names, *(name for score in judged for name in score.parts)])
    mean = {name: fmean(score.parts.get(name, 0.0) for score in judged) if judged else 0.0 for name in all_names}
    return [
        replace(Score(mean, False, why=NO_REWARD if failed else "") if score is None else score, failed=failed)
        for score, failed in zip(score_G, failed_G, strict=True)
    ]


def _words(form: Callable[[object], str], value: object) -> str:
    """The text of a value of the user's, whose own code for it may fail."""
    try:
        return form(value)
    except Exception as error:
        return f"{type(value).__name__}, whose text could not be had ({type(error).__name__})"


def _place(error: BaseException) -> str:
    """The last line of the traceback that is not of this package, as " (my.py, line 7, in reward)"."""
    frames = [one for one in traceback.extract_tb(error.__traceback__) if PACKAGE not in Path(one.filename).parents]
    return f" ({frames[-1].filename}, line {frames[-1].lineno}, in {frames[-1].name})" if frames else ""
