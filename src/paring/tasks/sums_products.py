"""Sums and products of small numbers: a task on which even the smallest chat models have a signal from the start."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from paring.settings.declare import settings
from paring.tasks.judge import JudgedTask
from paring.tasks.splits import hash_order
from paring.types import Problem, Score, Split
from paring.verifier.extraction import last_number
from paring.verifier.integers import integer, same_integer


@settings
class SumsAndProducts(JudgedTask):
    """`What is a + b?` and `What is a * b?` for a, b in 1..largest: 2 * largest^2 problems, 288 by default.

    Sums and products are split apart, each in hash order: the first third is `test` (48 + 48), a sixth of the others
    `validation` (16 + 16), the rest `train` (80 + 80). 7 * 8 and 8 * 7 are two problems, and one may be in `train` and
    the other in `test`: this is a test of learning, not of generalisation. Below 3 a split would be empty.
    """

    name: Literal["sums-and-products"] = "sums-and-products"
    largest: Annotated[int, Field(ge=3, le=100)] = 12

    def problems(self, split: Split) -> Sequence[Problem]:
        """The problems of a split in hash order, sums and products mixed."""
        numbers = range(1, self.largest + 1)
        tested = self.largest**2 // 3
        validated = tested + (self.largest**2 - tested) // 6
        part = {"test": slice(tested), "validation": slice(tested, validated), "train": slice(validated, None)}[split]
        chosen = []
        for sign in "+*":
            problems = [_problem(a, sign, b) for a in numbers for b in numbers]
            chosen += hash_order(problems, lambda problem: problem.id)[part]
        return hash_order(chosen, lambda problem: problem.id)

    def score(self, problem: Problem, text: str) -> Score:
        """1 if the last number of the text is the gold. `only_number`: the text is an integer and nothing else."""
        number = last_number(text)
        correct = same_integer(number, problem.gold)
        return Score({"correct": float(correct)}, correct, {"only_number": integer(text) is not None})


def _problem(a: int, sign: str, b: int) -> Problem:
    question = f"What is {a} {sign} {b}? Reply with only the final number."
    gold = a + b if sign == "+" else a * b
    return Problem(f"sums-and-products/{a}{sign}{b}", ({"role": "user", "content": question},), str(gold), str(gold))
