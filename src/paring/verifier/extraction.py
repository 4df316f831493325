"""Find the answer in a model's text: the last box or pair of answer tags, the last number, what follows a mark.

The text is hostile: nothing here evaluates it, raises on it, or takes more than linear time.
"""

import re
from collections import deque

from paring.verifier.decoration import unlabelled
from paring.verifier.integers import CURRENCY, GROUPED, PLAIN

_BOX = re.compile(r"\\(?:boxed|fbox|framebox)\s*\{")
_BOX_OF_ONE = re.compile(
    r"\\(?:boxed|fbox|framebox)(?:\s+|(?=[^\sA-Za-z{]))([-+(.0-9][^\s{}$\\]*|[A-Za-z](?![A-Za-z]))"
)
_ANY_BOX = re.compile(r"\\(?:boxed|fbox|framebox)")
_BOX_OR_BRACE = re.compile(r"\\(?:(?:boxed|fbox|framebox)\s*\{|\\(?!boxed|fbox|framebox)|[{}])|\{|\}")
"""Each branch begins with another character, which makes the search several times faster."""
MOST_READ = 200_000
"""Characters at the end of a text in which its answer is looked for."""
_NUMBER = re.compile(
    rf"""(?:(?<![\w)\]}}])[-+])?  {CURRENCY}?
         (?:(?<![A-Za-z0-9])  (?:{GROUPED}(?![0-9])|[0-9]+)  (?:\.[0-9]+)?  |  (?<!\.)\.[0-9]+)
         (?:[eE][-+]?[0-9]+)?""",
    re.VERBOSE,
)


_OPENING, _CLOSING = re.compile("<answer>", re.IGNORECASE), re.compile("</answer>", re.IGNORECASE)
_INVENTED_TURN = re.compile(
    r"(?:\n|\\n) *(?:Human|User)\s*:"
    r"|<\|(?:im_start|start_header_id)\|>user|<start_of_turn>user|<\|user\|>|\[INST\]"
)
_BETWEEN_BOXES = re.compile(
    r"(?:\n[ \t]*[-*•](?=\s)|[\s$,;.:&、，}]|\*\*|\\(?:quad|qquad|text\s*\{|[,;()\[\]\\])|和|或|且"
    r"|\b(?:and|or|respectively|(?:for )?[Pp]art|[Cc]ase)\b|\([0-9a-z]\)|\b[0-9a-z][.)](?=[\s*])"
    r"|[A-Za-z](?:_\{?[0-9]\}?)?\s*=)*+"
)


def final_answer(text: str) -> str | None:
    """The answer that the text commits to: the last complete box or the last complete pair of answer tags, whichever
    ends later; a box within that pair stands for it. What stands before the `</think>` that ends the last `<think>` is
    no answer, and neither is what follows where the text goes on with a turn of the user's.

    None without either. An empty box is an empty answer: no earlier box takes its place. Only the last 200,000
    characters are read.
    """
    ending = _ending(text)
    box = _last_box(ending)
    pair = _last_pair(ending)
    if pair is None or (box is not None and box[1] > pair[1]):
        return None if box is None else ending[slice(*box)].strip()
    tagged = ending[slice(*pair)]
    within = last_box(tagged)
    return unlabelled(tagged).strip() if within is None else within


def boxes_in_a_row(text: str) -> list[str]:
    """The contents of the boxes with which a text ends, of which each follows the one before as the members of a list
    do: `\\boxed{1}, \\boxed{2} and \\boxed{3}`."""
    ending = _ending(text)
    row: list[str] = []
    next_start = len(ending)
    for start, end in reversed(_outer_boxes(ending)):
        begins = ending.rfind("\\", 0, start)
        if row and _BETWEEN_BOXES.fullmatch(ending, end + 1, next_start) is None:
            break
        row.append(ending[start:end].strip())
        next_start = begins
    return row[::-1]


def answer_or_mark(text: str) -> str | None:
    """`final_answer`, or without box and tags what follows the last `####` on its line, as GSM8K's solutions end."""
    answer = final_answer(text)
    return marked_answer(text) if answer is None else answer


def last_box(text: str) -> str | None:
    """The content of the last `\\boxed{ … }` or `\\fbox{ … }` with all its braces, stripped; None without one.

    The inner one of nested boxes counts, and a box that is never closed is ignored. `\\{` and `\\}` are no braces.
    """
    span = max(_boxes(text), default=None)
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


def _ending(text: str) -> str:
    """The part of a text in which its answer may stand."""
    ending = text[-MOST_READ:]
    # One character is looked for much faster than a word.
    thought = ending.find("</think>", max(ending.rfind("<think>"), 0)) if "/" in ending else -1
    ending = ending[thought + len("</think>") :] if thought >= 0 else ending
    turn = _INVENTED_TURN.search(ending) if _may_go_on(ending) else None
    if turn is None:
        return ending
    before = ending[: turn.start()]
    return before if _last_box(before) or _last_pair(before) else ending


def _may_go_on(text: str) -> bool:
    """Whether a turn of the user's may be in a text."""
    if ":" in text and (("H" in text and "Human" in text) or ("U" in text and "User" in text)):
        return True
    return ("<" in text and "user" in text) or ("[" in text and "[INST]" in text)


def _last_pair(text: str) -> tuple[int, int] | None:
    """Start and end of what the last complete pair of answer tags holds, in any case: the innermost of nested ones."""
    closings = [closing.start() for closing in _CLOSING.finditer(text)] if "/" in text else []
    if not closings:
        return None
    openings = [opening.end() for opening in _OPENING.finditer(text, 0, closings[-1])]
    return (openings[-1], next(end for end in closings if end >= openings[-1])) if openings else None


def _last_box(text: str) -> tuple[int, int] | None:
    """Start and end of the content of the last complete box: the last to begin of all boxes that are closed. A box
    without braces holds the number or letter that follows it."""
    first = _ANY_BOX.search(text)
    if first is None:
        return None
    last = max(_boxes(text, first.start()), default=None)
    for bare in _BOX_OF_ONE.finditer(text, last[1] if last else first.start()):
        last = bare.span(1)
    return last


def _outer_boxes(text: str) -> list[tuple[int, int]]:
    """The boxes that stand in no other, in their order."""
    outer: list[tuple[int, int]] = []
    for start, end in sorted(_boxes(text)):
        if not outer or start > outer[-1][1]:
            outer.append((start, end))
    return outer


def _boxes(text: str, first: int = 0) -> list[tuple[int, int]]:
    """Start and end of the content of each box with braces that is closed. No box begins before `first`."""
    begins = _BOX.search(text, first)
    boxes: list[tuple[int, int]] = []
    openings: list[int] = []  # 0: of no box
    for brace in _BOX_OR_BRACE.finditer(text, begins.start()) if begins else ():
        token = brace.group()
        if token == "}":
            if openings and (start := openings.pop()):
                boxes.append((start, brace.start()))
        elif token == "{":
            openings.append(0)
        elif len(token) > 2:
            openings.append(brace.end())
    return boxes
