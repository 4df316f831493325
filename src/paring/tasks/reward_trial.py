"""A process that asks a reward of the user's own: a function as TRL calls it, or a task's score."""

import inspect
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from paring.settings.own_code import names_of
from paring.types import Problem
from paring.verifier.serving import serve

COLUMNS = ("answer", "solution", "gold", "ground_truth", "target", "label")
"""The names under which a reward function may take the gold: the columns of a data set."""
PROMPT = "What is the answer?"

Reward = Callable[[str, str], float]
"""The reward of (gold, text)."""


def load_reward(path: str) -> Reward:
    """The reward in a file of the user's: a class with `score(problem, text)`, or a function of TRL's kind.

    Raises ValueError if the file has no such thing."""
    file, colon, name = path.rpartition(":")
    source = Path(file).expanduser()
    if not colon or source.suffix != ".py" or not source.is_file():
        raise ValueError(f"the reward = {path!r}: give a Python file that is there and a name in it: my.py:reward")
    found = names_of(source).get(name)
    if isinstance(found, type) and "score" in dir(found):
        return partial(_score_of_task, found())
    if not callable(found):
        raise ValueError(
            f"the reward = {path!r}: there is no function {name}(completions, ...) and no class with a score"
        )
    try:
        _reward_of_function(found, False, "18", "18")
    except (TypeError, KeyError, AttributeError):
        return partial(_reward_of_function, found, True)  # it takes chats
    return partial(_reward_of_function, found, False)


def _score_of_task(task: Any, gold: str, text: str) -> float:
    return float(task.score(Problem("trial", ({"role": "user", "content": PROMPT},), gold), text).reward)


def _reward_of_function(function: Callable[..., Any], chats: bool, gold: str, text: str) -> float:
    prompt = [{"role": "user", "content": PROMPT}] if chats else PROMPT
    completion = [{"role": "assistant", "content": text}] if chats else text
    given = {"prompts": [prompt], "completions": [completion]} | {column: [gold] for column in COLUMNS}
    parameters = inspect.signature(function).parameters.values()
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        given = {name: value for name, value in given.items() if name in {parameter.name for parameter in parameters}}
    (reward,) = function(**given)
    return float(reward)


def prepare(path: str, folder: str) -> Callable[[dict[str, str]], str]:
    reward = load_reward(path)
    os.chdir(folder)

    def answer(question: dict[str, str]) -> str:
        start = time.perf_counter()
        try:
            said = {"reward": reward(question["gold"], question["text"])}
        except Exception as error:  # whatever a reward raises is what this is to find out
            said = {"error": f"{type(error).__name__}: {error}"[:200]}
        return json.dumps(said | {"seconds": time.perf_counter() - start})

    return answer


if __name__ == "__main__":
    serve(partial(prepare, sys.argv[1], sys.argv[2]))
