"""The verdict on one answer, reached here wherever no algebra is needed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from paring.verifier.characters import is_hidden
from paring.verifier.comparison import Algebra, is_same
from paring.verifier.compounds import elements
from paring.verifier.danger import explodes, is_bulky, operators
from paring.verifier.extraction import boxes_in_a_row, final_answer
from paring.verifier.golds import NUMBERS, Gold
from paring.verifier.latex import tidy
from paring.verifier.naming import bare
from paring.verifier.numbers import read_number

Why = Literal["right", "wrong", "no answer", "unreadable", "refused", "timeout", "killed"]
WHYS: dict[str, Why] = {why: why for why in get_args(Why)}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a text gives the right answer, why (or why not) in one of a few stable words, and its answer.

    right, wrong   compared
    no answer      there is no complete box and no pair of answer tags, or the last is empty
    unreadable     it is no number where the gold is one, no mathematics, or holds hidden characters
    refused        comparing it might take too much time or memory (verifier/danger.py)
    timeout        comparing it took too long; killed: it took too much memory, or the worker died
    """

    correct: bool
    why: Why
    answer: str | None


class NeedsAlgebra(Exception):
    """This answer, taken out of its text, cannot be compared without a computer algebra system."""

    def __init__(self, answer: str):
        super().__init__(answer)
        self.answer = answer


class Unreadable(Exception):
    """A text that is no mathematics."""


class _Refused(Exception):
    """Comparing this answer might take too much time or memory."""


@dataclass(frozen=True, slots=True)
class _Elsewhere:
    """Algebra that is done elsewhere, unless the answer is refused."""

    whole: str

    def equal(self, gold: str, answer: str) -> bool:
        raise _Refused if _is_dangerous(gold, answer) else NeedsAlgebra(self.whole)

    def proportional(self, gold: tuple[str, str], answer: tuple[str, str], *, sign: bool) -> bool:
        is_dangerous = any(_is_dangerous(" ".join(gold), side) for side in answer)
        raise _Refused if is_dangerous else NeedsAlgebra(self.whole)


def _is_dangerous(gold: str, answer: str) -> bool:
    return explodes(answer) or explodes(gold) or not operators(answer) <= operators(gold)


def decide(gold: Gold, text: str, answer_in: Callable[[str], str | None] = final_answer) -> Verdict:
    """The verdict on a whole text, by the answer that `answer_in` finds in it. Raises NeedsAlgebra where it takes
    algebra, and nothing else, whatever the text."""
    answer = answer_in(text)
    if answer and gold.kind in ("list", "set") and not is_bulky(answer) and len(elements(tidy(answer))) == 1:
        answer = ", ".join(boxes_in_a_row(text)) or answer
    if not answer:
        return Verdict(False, "no answer", answer)
    why = compare(gold, answer, _Elsewhere(answer))
    return Verdict(why == "right", why, answer)


def compare(gold: Gold, answer: str, algebra: Algebra) -> Why:
    """The verdict on an answer that was taken out of its text. Raises what `algebra` raises but Unreadable."""
    if is_bulky(answer):
        return "refused"
    if is_hidden(answer):
        return "unreadable"
    tidied = tidy(answer)
    if not tidied:
        return "no answer"
    try:
        if is_same(gold, tidied, algebra):
            return "right"
    except _Refused:
        return "refused"
    except Unreadable:
        return "unreadable"
    return "unreadable" if gold.kind in NUMBERS and read_number(bare(tidied)) is None else "wrong"
