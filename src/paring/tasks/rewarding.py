"""Calling reward functions by TRL's convention (trl 1.16, GRPOTrainer), and what their rewards come to."""

import asyncio
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from inspect import isawaitable
from itertools import islice
from statistics import fmean
from typing import Any

from paring.types import Group, Problem, Score

NOT_COLUMNS = ("prompt", "completion", "completion_ids")
"""Columns of a row that TRL does not hand on under their own names."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Functions with their weights, and the weighted sum from which an answer counts as correct."""

    paths: tuple[str, ...]
    functions: Sequence[Callable[..., Any]]
    weights: tuple[float, ...]
    correct_at: float

    def scores(self, groups: Sequence[Group]) -> list[list[Score]]:
        """A score for each completion, [P][G]; its parts are the weighted rewards by the functions' names.

        None from a function means that it does not apply, and counts 0 in the sum. An answer to which no function
        applies gets the mean of the others of its group, so that its advantage is 0, and is not correct; where there
        are no others, 0. (TRL leaves it out of the group's deviation too, which here it lowers a little.)
        Raises ValueError where a function fails, or gives anything else than a finite number or None for each
        completion."""
        arguments = _arguments(groups)
        count = len(arguments["completions"])
        rewards_of = [
            _called(path, function, arguments, count) for path, function in zip(self.paths, self.functions, strict=True)
        ]
        rewards_by_answer = iter(zip(*rewards_of, strict=True))
        return [self._group_scores(list(islice(rewards_by_answer, len(group.completions)))) for group in groups]

    def _group_scores(self, rewards_G: Sequence[Sequence[float | None]]) -> list[Score]:
        parts_G = [self._parts(rewards) for rewards in rewards_G]
        applied_G = [any(reward is not None for reward in rewards) for rewards in rewards_G]
        judged = [parts for parts, applied in zip(parts_G, applied_G, strict=True) if applied]
        mean = {name: fmean(parts[name] for parts in judged) if judged else 0.0 for name in parts_G[0]}
        return [
            Score(parts, sum(parts.values()) >= self.correct_at) if applied else Score(mean, False)
            for parts, applied in zip(parts_G, applied_G, strict=True)
        ]

    def _parts(self, rewards: Sequence[float | None]) -> dict[str, float]:
        weighted = zip(self._names(), self.weights, rewards, strict=True)
        return {name: 0.0 if reward is None else weight * reward for name, weight, reward in weighted}

    def _names(self) -> list[str]:
        """The functions' own names, or their paths where two have the same one."""
        names = [path.rpartition(":")[2] for path in self.paths]
        return names if len(set(names)) == len(names) else list(self.paths)


def row_of(problem: Problem) -> dict[str, Any]:
    """The row of the data that a problem was made from."""
    return json.loads(problem.gold)


def _arguments(groups: Sequence[Group]) -> dict[str, Any]:
    """What TRL passes: a value for each completion, those of a group one after the other; of a conversation the
    completion is a list of one turn. Columns that only some rows have are None in the others."""
    rows = [row_of(group.problem) for group in groups for _ in group.completions]
    completions = [completion for group in groups for completion in group.completions]
    columns = dict.fromkeys(name for row in rows for name in row if name not in NOT_COLUMNS)
    return {name: [row.get(name) for row in rows] for name in columns} | {
        "prompts": [row["prompt"] for row in rows],
        "completions": [
            completion.text if isinstance(row["prompt"], str) else [{"role": "assistant", "content": completion.text}]
            for row, completion in zip(rows, completions, strict=True)
        ],
        "completion_ids": [list(completion.tokens) for completion in completions],
        "trainer_state": None,
        "log_extra": _not_logged,
        "log_metric": _not_logged,
    }


def _called(path: str, function: Callable[..., Any], arguments: dict[str, Any], count: int) -> list[float | None]:
    try:
        given = function(**arguments)
        given = asyncio.run(_awaited(given)) if isawaitable(given) else given
    except Exception as error:  # whatever the user's function raises
        raise ValueError(f"task.reward = {path!r} raised {type(error).__name__}: {error}") from error
    rewards = list(_numbers(path, given))
    if len(rewards) != count:
        raise ValueError(f"task.reward = {path!r} gave {len(rewards)} rewards for {count} completions; one for each")
    return rewards


async def _awaited(given: Any) -> Any:
    return await given


def _numbers(path: str, given: Any) -> Iterator[float | None]:
    try:
        for reward in given:
            if isinstance(reward, str):
                raise TypeError(f"not {reward!r}")
            number = math.nan if reward is None else float(reward)
            if math.isinf(number):
                raise ValueError("not infinity")
            yield None if math.isnan(number) else number  # NaN is how TRL itself writes None
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"task.reward = {path!r} must give a list with a finite number or None for each completion ({error})"
        ) from error


def _not_logged(*_: Any) -> None:
    """In the place of TRL's `log_extra` and `log_metric`: the journal has the rewards already."""
