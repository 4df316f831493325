"""What a text shows of reasoning before its answer: working, and a correction of itself. Measured, never rewarded."""

import re

LONGEST = 20_000
"""Characters of reasoning that are looked at, the first ones: the time is bounded, whatever the text."""
ANSWER = re.compile(r"<answer>|\\boxed|####")
"""What the answer begins with, or follows."""
MARKERS = (
    "wait|hold on|hmm|oops|actually|try again|let me check|let me recheck|let me redo|let me recompute|"
    "let me recalculate|double-check|mistake|that is wrong|that's wrong|that is not right|that's not right|"
    "does not work|doesn't work|not correct|incorrect"
).split("|")
"""What a model says as it takes something back, or looks at it again; matched as whole words in any case."""

_MARKER = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, MARKERS))})(?!\w)", re.IGNORECASE)
_EQUATION = re.compile(r"(?<![0-9.])([0-9]{1,9})\s*([-+*/×÷])\s*([0-9]{1,9})\s*=\s*(-?[0-9]{1,9})(?![0-9.])")


def reasoning_of(text: str) -> str:
    """What stands before the first of `<answer>`, `\\boxed` and `####`, or all of it without; of that the beginning."""
    return ANSWER.split(text[: LONGEST + len("<answer>")], maxsplit=1)[0][:LONGEST]


def has_equation(text: str) -> bool:
    """Whether a `=` stands before the answer: the working of tasks whose steps cannot be checked one by one."""
    return "=" in reasoning_of(text)


def corrects_itself(text: str) -> bool:
    """Whether the reasoning takes something back: in words or in numbers.

    In words: it holds one of MARKERS (wait, actually, let me check, that's wrong ...).
    In numbers: it gives two results for the same `x ± y`, of which the second replaces the first: `3+4=8;3+4=7`.
    Neither says that the correction was needed, or right.
    """
    reasoning = reasoning_of(text)
    if _MARKER.search(reasoning):
        return True
    results: dict[tuple[int, str, int], int] = {}
    for found in _EQUATION.finditer(reasoning):
        left, right, result = int(found[1]), int(found[3]), int(found[4])
        if results.setdefault((left, found[2], right), result) != result:
            return True
    return False
