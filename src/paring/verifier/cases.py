"""Cases that a verifier must decide: a JSON Lines file of golds, texts, and whether each is right."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from paring.runtime.rows import check_text, field_of, jsonl_values
from paring.verifier import Gold, Verdict, Verifier

FIELDS = ("gold", "candidate", "expected")


@dataclass(frozen=True, slots=True)
class Case:
    """A text of a response, and whether its answer is the gold's."""

    place: str
    gold: Gold
    candidate: str
    expected: bool


def read_cases(path: str | Path) -> list[Case]:
    """Rows of {"gold", "candidate", "expected"}. Raises FileNotFoundError, or ValueError naming the line, on others."""
    cases = []
    for value, place in jsonl_values(path, FIELDS):
        gold, candidate, expected = (field_of(value, field, place) for field in FIELDS)
        if not isinstance(candidate, str):
            raise ValueError(f"{place}: field 'candidate' is {type(candidate).__name__}, a string is needed")
        if not isinstance(expected, bool):
            raise ValueError(f"{place}: field 'expected' is {expected!r}, true or false is needed")
        text = check_text(gold, "field 'gold'", place)
        try:
            cases.append(Case(place, Gold.read(text), candidate, expected))
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
    return cases


def judge_cases(cases: Sequence[Case], verifier: Verifier) -> list[tuple[Case, Verdict]]:
    """The cases that were decided otherwise than expected, with their verdicts."""
    verifier.check(case.gold for case in cases)
    verdicts = verifier.judge([(case.gold, case.candidate) for case in cases])
    return [pair for pair in zip(cases, verdicts, strict=True) if pair[1].correct != pair[0].expected]
