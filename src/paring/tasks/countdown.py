"""Countdown: reach a target from three or four numbers, each used once, as the game of that name asks."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Literal

from pydantic import Field

from paring.settings.declare import settings
from paring.tasks.expressions import Expression, read_expression
from paring.tasks.judge import JudgedTask
from paring.tasks.reasoning import corrects_itself, has_equation, reasoning_of
from paring.tasks.splits import Chance, draw_splits
from paring.tasks.styles import follows_think_answer
from paring.types import Problem, Score, Split
from paring.verifier.extraction import tagged_answer

CORRECT_REWARD = 1.0
FORMAT_REWARD = 0.1
PROMPT = (
    "Think first, and write your thoughts between <think> and </think>. After them write nothing but the expression, "
    "without an equals sign, between <answer> and </answer>, like this:\n"
    "<think> what you try </think>\n"
    "<answer> (1 + 2) * 3 </answer>"
)


@settings
class Countdown(JudgedTask):
    """Numbers and a target: `Use the numbers 3, 7 and 25 to make 54.` One right answer is `(25 - 7) * 3`.

    The setting of TinyZero and of the RGRA paper's example (arXiv 2603.18756, fig. 2). Words and generator are ours:
    it makes each problem from a solution, so every one can be solved. 10,000 problems are drawn to train on, 500 to
    validate and 500 to test (tasks/splits.py); two are the same if they have the same target and the same numbers.

    fewest, most    how many numbers a problem has
    largest         numbers are 1 to this
    largest_target  and targets 1 to this
    """

    name: Literal["countdown"] = "countdown"
    fewest: Annotated[int, Field(ge=3, le=6)] = 3
    most: Annotated[int, Field(ge=3, le=6)] = 4
    largest: Annotated[int, Field(ge=20, le=1000)] = 100
    largest_target: Annotated[int, Field(ge=100, le=100_000)] = 1000

    def __post_init__(self) -> None:
        if self.fewest > self.most:
            raise ValueError(f"fewest = {self.fewest} is more than most = {self.most}")

    def problems(self, split: Split) -> Sequence[Problem]:
        """The problems of a split, in the order in which they were drawn."""
        return _splits(self)[split]

    def score(self, problem: Problem, text: str) -> Score:
        """1.0 if the expression of the last `<answer>` pair solves the problem (see `solves`), and 0.1 if the text
        has the form of tasks/styles.py and its answer is an expression at all.

        Traits: `working`, a `=` before the answer; `self_correction`, see tasks/reasoning.py, or else a full attempt
        that misses the target and another one after it."""
        answer = tagged_answer(text) or ""
        correct = solves(problem, answer)
        well_formed = follows_think_answer(text) and read_expression(answer) is not None
        parts = {"format": FORMAT_REWARD * well_formed, "correct": CORRECT_REWARD * correct}
        return Score(parts, correct, {"working": has_equation(text), "self_correction": tries_again(problem, text)})


def solves(problem: Problem, answer: str) -> bool:
    """Whether the answer is an expression that uses the numbers of the gold, each as often, and has the same value.

    The gold is one right answer of many. Values are exact fractions: 8 / (3 - 8 / 3) is 24.
    """
    gold, given = _gold(problem), read_expression(answer)
    return given is not None and given.value == gold.value and sorted(given.numbers) == sorted(gold.numbers)


def tries_again(problem: Problem, text: str) -> bool:
    """Whether the reasoning corrects itself (tasks/reasoning.py), or an attempt that misses is followed by another.

    An attempt is what stands before the first `=` of a line, or of a part of it between commas, semicolons or tags, if
    it is an expression of all the numbers of the problem."""
    if corrects_itself(text):
        return True
    gold = _gold(problem)
    equations = [part for part in re.split(r"[\n,;]|</?think>", reasoning_of(text)) if "=" in part]
    read = [read_expression(equation.partition("=")[0]) for equation in equations]
    attempts = [one.value for one in read if one is not None and sorted(one.numbers) == sorted(gold.numbers)]
    return any(value != gold.value for value in attempts[:-1])


def _gold(problem: Problem) -> Expression:
    gold = read_expression(problem.gold)
    assert gold is not None, problem
    return gold


@cache
def _splits(task: Countdown) -> dict[Split, Sequence[Problem]]:
    return draw_splits(lambda number: _draw(task, Chance(f"countdown/{number}")))


def _draw(task: Countdown, chance: Chance) -> tuple[str, Problem] | None:
    numbers = [1 + chance.below(task.largest) for _ in range(task.fewest + chance.below(task.most - task.fewest + 1))]
    puzzle = _puzzle(numbers, chance)
    if puzzle is None or puzzle[0] > task.largest_target:
        return None
    target, expression, steps = puzzle
    key = f"{' '.join(map(str, sorted(numbers)))} = {target}"
    listed = f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
    question = (
        f"Use the numbers {listed} to make {target}. Each number must be used exactly once, with +, -, * and / "
        "and with brackets where you need them."
    )
    messages = ({"role": "system", "content": PROMPT}, {"role": "user", "content": question})
    working = "\n".join(steps)
    solution = f"<think>\n{working}\n</think>\n<answer> {expression} </answer>"
    return key, Problem(f"countdown/{key}", messages, expression, solution)


def _puzzle(numbers: Sequence[int], chance: Chance) -> tuple[int, str, list[str]] | None:
    """A target, the expression that reaches it, and its steps: two of the numbers at a time become one, until one is
    left. None where that is no natural number on the way."""
    left = [(number, str(number)) for number in numbers]
    steps = []
    while len(left) > 1:
        (one, one_text), (other, other_text) = (left.pop(chance.below(len(left))) for _ in range(2))
        sign = "+-*/"[chance.below(4)]
        quotient = 0 if one % other else one // other
        result = {"+": one + other, "-": one - other, "*": one * other, "/": quotient}[sign]
        if result < 1:
            return None
        steps.append(f"{one} {sign} {other} = {result}")
        left.append((result, f"{_bracketed(one_text)} {sign} {_bracketed(other_text)}"))
    ((target, expression),) = left
    return target, expression, steps


def _bracketed(text: str) -> str:
    return f"({text})" if " " in text else text
