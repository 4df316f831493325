"""The embedded task: `17+11+4=`, two sums or differences of small numbers, answered between answer tags."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import blake2b
from itertools import accumulate
from typing import Literal, overload

import numpy as np

from paring.settings.declare import settings
from paring.tasks.judge import JudgedTask
from paring.tasks.reasoning import corrects_itself
from paring.tasks.splits import HELD_OUT_ONE_IN
from paring.types import Problem, Score, Split

FIRST = range(1, 100)
LATER = range(1, 20)
SIGNS = ((1, 1), (1, -1), (-1, 1), (-1, -1))
VALIDATION_SIZE = TEST_SIZE = 500

LAST_PAIR = re.compile(r"<answer>([^<]*)</answer>\s*\Z")
# The digits are bounded because the text is hostile: a number of a million digits would stall `int`.
INTEGER = re.compile(r"\s*(-?[0-9]{1,9})\s*")
EQUATION = re.compile(r"\s*([0-9]{1,9})\s*([+-])\s*([0-9]{1,9})\s*=\s*([0-9]{1,9})\s*")


@settings
class Arithmetic(JudgedTask):
    """`a±b±c=` with a in 1..99, b and c in 1..19, and a±b as well as the result in 0..99.

    The answer is `<answer>32</answer>`, alone or after working: `17+11=28;28+4=32<answer>32</answer>`.
    Working is not rewarded. One problem in eight, chosen by a hash of its text, is held out: the first 500 in the
    order of the hashes are `validation`, the next 500 `test`, the others are used nowhere. The remaining seven eighths
    are `train`. A split is in the order of the hashes, so that any beginning of it is a fair sample.
    """

    name: Literal["arithmetic"] = "arithmetic"

    def problems(self, split: Split) -> Sequence[Problem]:
        """The problems of a split, each made when it is indexed."""
        return ArithmeticProblems(_keys()[split])

    def score(self, problem: Problem, text: str) -> Score:
        """See `score_sum`."""
        return score_sum(problem, text)


def score_sum(problem: Problem, text: str) -> Score:
    """Parts: `correct` 1.0 and `format` 0.1, else 0.0. Traits: `working`, the text before `<answer>` works the problem
    out, step by step and truthfully (see `spelled`); `self_correction`, see tasks/reasoning.py.

    Format: `<answer>` and `</answer>` each stand in the text once, between them is an integer of one to nine
    digits, and nothing but white space follows. Correct: format holds and the integer equals the gold.
    """
    answer = INTEGER.fullmatch(content) if (content := ending_answer(text)) is not None else None
    correct = answer is not None and int(answer[1]) == int(problem.gold)
    parts = {"correct": 1.0 if correct else 0.0, "format": 0.1 if answer else 0.0}
    working, tag, _ = text.partition("<answer>")
    works_it_out = bool(tag) and f"{spelled(working)}=" == problem.messages[-1]["content"]
    return Score(parts, correct, {"working": works_it_out, "self_correction": corrects_itself(text)})


def ending_answer(text: str) -> str | None:
    """The content of the only `<answer>` pair of a text, if nothing but white space follows it."""
    once = text.count("<answer>") == text.count("</answer>") == 1
    pair = LAST_PAIR.search(text) if once else None
    return None if pair is None else pair[1]


def spelled(working: str) -> str | None:
    """The expression that steps work out: `17+11=28;28+4=32` spells 17+11+4. None for anything but such steps.

    They must be equations `x±y=z` joined by `;`, each of them true, each beginning with the result of the one before.
    """
    expression, last = "", None
    for step in working.split(";"):
        equation = EQUATION.fullmatch(step)
        if equation is None:
            return None
        left, right, result = int(equation[1]), int(equation[3]), int(equation[4])
        if result != (left + right if equation[2] == "+" else left - right) or last not in (None, left):
            return None
        expression, last = f"{expression or left}{equation[2]}{right}", result
    return expression


def written(terms: Sequence[int]) -> str:
    """17, 11, -4 as `17+11-4`."""
    return str(terms[0]) + "".join(f"{term:+d}" for term in terms[1:])


def steps(terms: Sequence[int]) -> str:
    """17, 11, -4 as the steps `17+11=28;28-4=24`, which spell it."""
    results = list(accumulate(terms))
    equations = zip(results, terms[1:], results[1:], strict=False)
    return ";".join(f"{before}{term:+d}={after}" for before, term, after in equations)


def worked(terms: Sequence[int]) -> str:
    """The steps and the answer: 17, 11, -4 gives `17+11=28;28-4=24<answer>24</answer>`."""
    return f"{steps(terms)}<answer>{sum(terms)}</answer>"


class ArithmeticProblems(Sequence[Problem]):
    """Problems made when they are indexed, from keys of four bytes each."""

    def __init__(self, keys: np.ndarray):
        self._keys = keys

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, index: int) -> Problem: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Problem]: ...
    def __getitem__(self, index: int | slice) -> Problem | Sequence[Problem]:
        if isinstance(index, slice):
            return ArithmeticProblems(self._keys[index])
        return sum_problem("arithmetic", _terms(int(self._keys[index])))

    def __iter__(self) -> Iterator[Problem]:
        return (sum_problem("arithmetic", _terms(key)) for key in self._keys.tolist())


def sum_problem(task: str, terms: Sequence[int]) -> Problem:
    """The problem of working out the terms' sum, with a name that begins with the task's."""
    expression = written(terms)
    message = {"role": "user", "content": f"{expression}="}
    return Problem(f"{task}/{expression}", (message,), str(sum(terms)), worked(terms))


@cache
def _keys() -> dict[Split, np.ndarray]:
    """The keys of every split, each in the order of the hashes of its expressions."""
    signs, first, second, third = np.meshgrid(range(len(SIGNS)), FIRST, LATER, LATER, indexing="ij")
    middle = first + np.array(SIGNS)[signs, 0] * second
    result = middle + np.array(SIGNS)[signs, 1] * third
    inside = (middle >= 0) & (middle < 100) & (result >= 0) & (result < 100)
    keys = np.flatnonzero(inside).astype(np.uint32)
    digests = [blake2b(written(_terms(key)).encode(), digest_size=8).digest() for key in keys.tolist()]
    hashes = np.array([int.from_bytes(digest, "big") for digest in digests], dtype=np.uint64)
    order = np.argsort(hashes)
    held_out = hashes[order] % HELD_OUT_ONE_IN == 0
    kept_apart = keys[order][held_out]
    return {
        "train": keys[order][~held_out],
        "validation": kept_apart[:VALIDATION_SIZE],
        "test": kept_apart[VALIDATION_SIZE : VALIDATION_SIZE + TEST_SIZE],
    }


def _terms(key: int) -> list[int]:
    """The terms a, ±b, ±c at a place of the grid (signs, a, b, c), counted row by row."""
    rest, third = divmod(key, len(LATER))
    rest, second = divmod(rest, len(LATER))
    signs, first = divmod(rest, len(FIRST))
    sign, other_sign = SIGNS[signs]
    return [FIRST[first], sign * LATER[second], other_sign * LATER[third]]
