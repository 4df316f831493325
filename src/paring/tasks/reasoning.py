"""Signs of reasoning before an answer: working, and a correction of itself. Measured, never rewarded."""

import re

LONGEST = 20_000
"""Characters of reasoning that are looked at, the first ones: the time is bounded, whatever the text."""
ANSWER = re.compile(r"<answer>|\\boxed|####")
"""The beginning of an answer, or of the mark before it."""
MARKERS = (
    "wait|hold on|hmm|oops|actually|try again|let me check|let me recheck|let me redo|let me recompute|"
    "let me recalculate|double-check|mistake|that is wrong|that's wrong|that is not right|that's not right|"
    "does not work|doesn't work|not correct|incorrect"
).split("|")
"""Phrases with which a model takes something back, or checks it; matched as whole words in any case."""

_MARKER = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, MARKERS))})(?!\w)", re.IGNORECASE)
_EQUATION = re.compile(r"(?<![0-9.])([0-9]{1,9})\s*([-+*/×÷])\s*([0-9]{1,9})\s*=\s*(-?[0-9]{1,9})(?![0-9.])")


def reasoning_of(text: str) -> str:
    """The text before the first of `<answer>`, `\\boxed` and `####`, or all of it without them; at most LONGEST."""
    return ANSWER.split(text[: LONGEST + len("<answer>")], maxsplit=1)[0][:LONGEST]


def has_equation(text: str) -> bool:
    """Whether a `=` stands before the answer: the working of tasks whose steps cannot be checked one by one."""
    return "=" in reasoning_of(text)


def corrects_itself(text: str) -> bool:
    """Whether the reasoning takes something back: in words or in numbers.

    In words: it holds one of MARKERS (wait, actually, let me check, that's wrong ...).
    In numbers: it gives two results for the same `x ± y`, of which the second replaces the first: `3+4=8;3+4=7`.
    Neither shows that the correction was needed, or right.
    """
    reasoning = reasoning_of(text)
    if _MARKER.search(reasoning):
        return True
    results: dict[tuple[int, str, int], int] = {}
    for equation in _EQUATION.finditer(reasoning):
        left, right, result = int(equation[1]), int(equation[3]), int(equation[4])
        if results.setdefault((left, equation[2], right), result) != result:
            return True
    return False
