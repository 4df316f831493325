"""Find the answer in a model's text: the last box or pair of answer tags, the last number, what follows a mark.

The text is hostile: nothing here evaluates it, raises on it, or takes more than linear time.
"""

import re
from collections import deque

from paring.verifier.integers import CURRENCY, GROUPED, PLAIN

_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_BOX_OR_BRACE = re.compile(rf"{_BOX.pattern}|\\\\(?!boxed|fbox)|\\[{{}}]|[{{}}]")
MOST_READ = 200_000
"""Characters at the end of a text in which its answer is looked for."""
_NUMBER = re.compile(
    rf"""(?:(?<![\w)\]}}])[-+])?  {CURRENCY}?
         (?:(?<![A-Za-z0-9])  (?:{GROUPED}(?![0-9])|[0-9]+)  (?:\.[0-9]+)?  |  (?<!\.)\.[0-9]+)
         (?:[eE][-+]?[0-9]+)?""",
    re.VERBOSE,
)


def final_answer(text: str) -> str | None:
    """The answer that the text commits to: the last complete box or the last complete pair of answer tags, whichever
    ends later; a box within that pair stands for it. What stands before the last `</think>` is no answer.

    None without either. An empty box is an empty answer: no earlier box takes its place. Only the last 200,000
    characters are read.
    """
    ending = text[-MOST_READ:].rpartition("</think>")[2]
    box = _last_box(ending)
    tagged = tagged_answer(ending)
    if tagged is None or (box is not None and box[1] > ending.rfind("</answer>")):
        return None if box is None else ending[slice(*box)].strip()
    within = last_box(tagged)
    return tagged if within is None else within


def answer_or_mark(text: str) -> str | None:
    """`final_answer`, or without box and tags what follows the last `####` on its line, as GSM8K's solutions end."""
    answer = final_answer(text)
    return marked_answer(text) if answer is None else answer


def last_box(text: str) -> str | None:
    """The content of the last `\\boxed{ … }` or `\\fbox{ … }` with all its braces, stripped; None without one.

    The inner one of nested boxes counts, and a box that is never closed is ignored. `\\{` and `\\}` are no braces.
    """
    span = _last_box(text)
    return None if span is None else text[slice(*span)].strip()


def last_number(text: str) -> str | None:
    """The last number of the text as it is written there (full-width forms made plain), or None.

    A number is a run of digits, or digits in threes with commas (1,234), with its decimals, exponent and currency
    sign. A minus or plus belongs to it unless a word, a digit or a closing bracket touches it from the left: 7-3
    gives 3, and = -3 gives -3. Digits that follow a Latin letter are part of a name (m2, x1). Other arithmetic is
    not read: 1/2 gives 2.
    """
    numbers = deque(_NUMBER.finditer(text.translate(PLAIN)), maxlen=1)
    return numbers[0][0] if numbers else None


def tagged_answer(text: str) -> str | None:
    """The content of the last complete `<answer> … </answer>`, stripped; None if no such pair is in the text.

    The last opening tag with a closing tag somewhere after it counts, up to its next closing tag: the innermost of
    nested pairs. An opening tag that is never closed is ignored. Tags are in small letters.
    """
    opening = text.rfind("<answer>", 0, max(text.rfind("</answer>"), 0))
    if opening < 0:
        return None
    start = opening + len("<answer>")
    return text[start : text.find("</answer>", start)].strip()


def marked_answer(text: str) -> str | None:
    """The rest of the line after the last `####`, stripped: the ending of GSM8K's solutions. None without a mark."""
    _, mark, rest = text.rpartition("####")
    return rest.partition("\n")[0].strip() if mark else None


def _last_box(text: str) -> tuple[int, int] | None:
    """Start and end of the content of the last complete box: the last to begin of all boxes that are closed."""
    first = _BOX.search(text)
    last = None
    openings: list[tuple[int, bool]] = []
    for brace in _BOX_OR_BRACE.finditer(text, first.start()) if first else ():
        token = brace[0]
        if token == "}":
            if openings:
                start, is_box = openings.pop()
                last = (start, brace.start()) if is_box and (last is None or start > last[0]) else last
        elif token == "{" or len(token) > 2:
            openings.append((brace.end(), len(token) > 2))
    return last
