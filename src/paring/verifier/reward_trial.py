"""A process that runs a reward of the user's own: a function as TRL calls it, or a task's score."""

import inspect
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import SupportsFloat

from paring.settings.own_code import function_in
from paring.types import Problem, Score
from paring.verifier.serving import serve

COLUMNS = ("answer", "solution", "gold", "ground_truth", "target", "label")
"""The names under which a reward function may take the gold: the columns of a data set."""
PROMPT = "What is the answer?"

Reward = Callable[[str, str], float]
"""The reward of (gold, text)."""


def load_reward(path: str) -> Reward:
    """The reward in a file of the user's: a class with `score(problem, text)`, or a function of TRL's kind.

    Raises ValueError if the file has no such thing."""
    own = function_in(path, setting="the reward", example="my.py:reward")
    if isinstance(own, type) and "score" in dir(own):
        return partial(_reward_of_task, own().score)
    try:
        _reward_of_function(own, False, "18", "18")
    except (TypeError, KeyError, AttributeError):
        return partial(_reward_of_function, own, True)  # it takes chats
    return partial(_reward_of_function, own, False)


def _reward_of_task(score: Callable[[Problem, str], Score], gold: str, text: str) -> float:
    return float(score(Problem("trial", ({"role": "user", "content": PROMPT},), gold), text).reward)


def _reward_of_function(function: Callable[..., object], chats: bool, gold: str, text: str) -> float:
    prompt = [{"role": "user", "content": PROMPT}] if chats else PROMPT
    completion = [{"role": "assistant", "content": text}] if chats else text
    columns: dict[str, object] = {"prompts": [prompt], "completions": [completion]}
    columns |= {column: [gold] for column in COLUMNS}
    parameters = inspect.signature(function).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        columns = {name: values for name, values in columns.items() if name in parameters}
    rewards = function(**columns)
    if not isinstance(rewards, Iterable):
        raise TypeError(f"a list of rewards is needed, not {rewards!r}")
    (reward,) = rewards
    if not isinstance(reward, SupportsFloat):
        raise TypeError(f"a number is needed, not {reward!r}")
    return float(reward)


def prepare(path: str, folder: str) -> Callable[[dict[str, str]], str]:
    """The answers of this process: {"reward"} or {"error"}, with the seconds it took. It works in `folder`."""
    reward = load_reward(path)
    os.chdir(folder)

    def answer(question: dict[str, str]) -> str:
        start = time.perf_counter()
        reply: dict[str, object] = {}
        try:
            reply["reward"] = reward(question["gold"], question["text"])
        except Exception as error:  # whatever a reward raises is to be reported
            reply["error"] = f"{type(error).__name__}: {error}"[:200]
        return json.dumps(reply | {"seconds": time.perf_counter() - start})

    return answer


if __name__ == "__main__":
    serve(partial(prepare, sys.argv[1], sys.argv[2]))
