"""Calls of the user's own reward code: within their bounds, and with what they give checked."""

import math
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from paring.types import Reply, Score

Failed = Literal["stop", "skip"]
"""The answer to a reward that could not be computed: "stop" ends the run with the reason; "skip" goes on without
it, and counts it."""
Seconds = Annotated[float, Field(ge=0, le=86_400)]
LONGEST_REASON = 500
"""Characters of an exception of the user's code in a message."""
MOST_REWARDS = 100_000
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
                reason = one_line(f"{type(error).__name__}: {error}", LONGEST_REASON)
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
        if not isinstance(given, Iterable):
            raise TypeError(f"not {type(given).__name__}")
        for reward in given:
            if reward is not None and not isinstance(reward, SupportsFloat):
                raise TypeError(f"not {one_line(repr(reward), LONGEST_REASON)}")
            number = math.nan if reward is None else float(reward)
            if math.isinf(number):
                raise ValueError("not infinity")
            numbers.append(None if math.isnan(number) else number)  # NaN is how TRL itself writes None
    except (TypeError, ValueError, OverflowError) as error:
        words = f"{what} must give a list with a finite number or None for each completion ({error})"
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
    """The score itself. Raises CallFailed where it is none, or a part of its reward is no finite number."""
    if not isinstance(score, Score):
        raise CallFailed(f"{what} gave {type(score).__name__}; return a Score")
    for name, part in score.parts.items():
        if not isinstance(part, int | float) or not math.isfinite(part):
            raise CallFailed(f"{what} gave the part {name!r} a reward that is not finite: {part!r}")
    return score


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


def _place(error: BaseException) -> str:
    """The last line of the traceback that is not of this package, as " (my.py, line 7, in reward)"."""
    frames = [one for one in traceback.extract_tb(error.__traceback__) if PACKAGE not in Path(one.filename).parents]
    return f" ({frames[-1].filename}, line {frames[-1].lineno}, in {frames[-1].name})" if frames else ""
