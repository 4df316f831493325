"""Countdown for the embedded models: `3,12,7:16=`, three small numbers and a target, in a few dozen characters."""

from collections.abc import Sequence
from functools import cache
from itertools import accumulate, product
from typing import Literal

from paring.settings.declare import settings
from paring.tasks.arithmetic import FIRST, LATER, ending_answer, spelled, steps, written
from paring.tasks.chains import INSIDE
from paring.tasks.countdown import solves
from paring.tasks.expressions import read_expression
from paring.tasks.judge import JudgedTask
from paring.tasks.splits import Chance, draw_splits
from paring.types import Problem, Score, Split


@settings
class CountdownTiny(JudgedTask):
    """`3,12,7:16=` asks for 16 from 3, 12 and 7, each used once: `<answer>12+7-3</answer>`, or `7-3+12` in the tags.

    One number is 1 to 99 and two are 1 to 19, in any order, and every problem can be solved by sums and differences
    alone that begin with the largest number and stay within 0..99. The answer may stand alone or after attempts with
    commas between them, each of them steps:
    `12+3=15;15+7=22,12-3=9;9+7=16<answer>12-3+7</answer>`. Attempts are not rewarded. 10,000 problems are drawn to
    train on, 500 to validate and 500 to test (tasks/splits.py).
    """

    name: Literal["countdown-tiny"] = "countdown-tiny"

    def problems(self, split: Split) -> Sequence[Problem]:
        return _splits()[split]

    def score(self, problem: Problem, text: str) -> Score:
        """Parts: `correct` 1.0 if the answer solves the problem, as in `countdown`, and `format` 0.1.

        Format: `<answer>` and `</answer>` each stand in the text once, between them is an expression
        (tasks/expressions.py), and nothing but white space follows. Correct: format holds too.
        Traits: `working`, the answer follows attempts that are true and of which the last one solves the problem;
        `self_correction`, it follows at least two true attempts, of which the last but one does not.
        """
        answer = ending_answer(text) or ""
        well_formed = read_expression(answer) is not None
        correct = solves(problem, answer)
        attempts = [spelled(attempt) for attempt in text.partition("<answer>")[0].split(",")]
        true = [attempt for attempt in attempts if attempt is not None]
        solved = [solves(problem, attempt) for attempt in true] if len(true) == len(attempts) else []
        traits = {"working": solved[-1:] == [True], "self_correction": len(solved) > 1 and not solved[-2]}
        return Score({"correct": 1.0 if correct else 0.0, "format": 0.1 if well_formed else 0.0}, correct, traits)


def candidates(numbers: Sequence[int]) -> list[list[int]]:
    """The numbers with every choice of signs, the largest first and the others in the order given, as terms whose sums
    on the way stay within 0..99."""
    rest = list(numbers)
    rest.remove(largest := max(numbers))
    signed = product(*((number, -number) for number in rest))
    chosen = [[largest, *terms] for terms in signed]
    return [terms for terms in chosen if all(result in INSIDE for result in accumulate(terms))]


def searched(tried: Sequence[Sequence[int]]) -> str:
    """Attempts one after the other, and the last of them as the answer."""
    return f"{','.join(map(steps, tried))}<answer>{written(tried[-1])}</answer>"


@cache
def _splits() -> dict[Split, Sequence[Problem]]:
    return draw_splits(lambda number: _draw(Chance(f"countdown-tiny/{number}")))


def _draw(chance: Chance) -> tuple[str, Problem] | None:
    numbers = [FIRST[chance.below(len(FIRST))], *(LATER[chance.below(len(LATER))] for _ in range(2))]
    numbers.insert(chance.below(len(numbers)), numbers.pop(0))
    choices = candidates(numbers)
    if not choices:
        return None
    solution = choices[chance.below(len(choices))]
    target = sum(solution)
    tried = choices[: next(place for place, terms in enumerate(choices) if sum(terms) == target) + 1]
    key = f"{','.join(map(str, sorted(numbers)))}:{target}"
    message = {"role": "user", "content": f"{','.join(map(str, numbers))}:{target}="}
    return key, Problem(f"countdown-tiny/{key}", (message,), written(solution), searched(tried))
