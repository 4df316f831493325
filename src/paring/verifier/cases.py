"""Cases that a verifier must decide: a JSON Lines file of golds, texts, and whether each is right."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from paring.runtime.rows import check_text, field_of, jsonl_values
from paring.verifier import Gold, Verdict, Verifier

FIELDS = ("gold", "candidate", "expected")


@dataclass(frozen=True, slots=True)
class Case:
    """A text of a response, and whether its answer is one of the golds."""

    place: str
    golds: tuple[Gold, ...]
    candidate: str
    expected: bool


@dataclass(frozen=True, slots=True)
class Cases:
    """The cases of a file, and why others have no gold that an answer can be compared with: by their places."""

    judged: list[Case]
    left_out: dict[str, str]


def read_cases(path: str | Path) -> Cases:
    """Rows of {"gold", "candidate", "expected"}; `gold` is a text, or a list of texts of which any is right.

    Raises FileNotFoundError, or ValueError naming the line, on other rows. A gold that cannot be read stops nothing:
    its case is left out, and named."""
    cases, left_out = [], {}
    for value, place in jsonl_values(path, FIELDS):
        gold, candidate, expected = (field_of(value, field, place) for field in FIELDS)
        if not isinstance(candidate, str):
            raise ValueError(f"{place}: field 'candidate' is {type(candidate).__name__}, a string is needed")
        if not isinstance(expected, bool):
            raise ValueError(f"{place}: field 'expected' is {expected!r}, true or false is needed")
        written = gold if isinstance(gold, list) and gold else [gold]
        texts = [check_text(text, "field 'gold'", place) for text in written]
        try:
            cases.append(Case(place, tuple(map(Gold.read, texts)), candidate, expected))
        except ValueError as error:
            left_out[place] = str(error)
    return Cases(cases, left_out)


def judge_cases(cases: Sequence[Case], verifier: Verifier) -> list[tuple[Case, Verdict]]:
    """The cases that were decided otherwise than expected, with their verdicts."""
    verifier.check(gold for case in cases for gold in case.golds)
    verdicts = verifier.judge_any([(case.golds, case.candidate) for case in cases])
    return [pair for pair in zip(cases, verdicts, strict=True) if pair[1].correct != pair[0].expected]
