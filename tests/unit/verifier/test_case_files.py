"""Cases for a verifier, read from a file."""

import json

import pytest

from paring.verifier import Verifier
from paring.verifier.cases import judge_cases, read_cases

GOOD = {"gold": "5", "candidate": r"\boxed{5}", "expected": True}


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_cases_decided_otherwise_than_expected_come_back(tmp_path):
    wrong = GOOD | {"candidate": r"\boxed{6}"}
    cases = read_cases(write(tmp_path / "cases.jsonl", GOOD, wrong, wrong | {"expected": False}))
    with Verifier() as verifier:
        ((case, verdict),) = judge_cases(cases.judged, verifier)
    assert (case.place, verdict.why) == (f"{tmp_path / 'cases.jsonl'}:2", "wrong")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"gold": None}, "field 'gold' is null"),
        ({"gold": " "}, "field 'gold' is blank"),
        ({"gold": []}, "field 'gold' is list"),
        ({"gold": ["5", 6]}, "field 'gold' is int"),
        ({"candidate": 5}, "field 'candidate' is int"),
        ({"expected": "yes"}, "true or false"),
    ],
)
def test_a_broken_case_is_named(tmp_path, change, complaint):
    with pytest.raises(ValueError, match=rf"cases\.jsonl:2: .*{complaint}"):
        read_cases(write(tmp_path / "cases.jsonl", GOOD, GOOD | change))


def test_several_golds_and_a_gold_that_cannot_be_judged(tmp_path):
    either = GOOD | {"gold": ["6", "5"]}
    rows = [either, either | {"candidate": r"\boxed{7}", "expected": False}, GOOD | {"gold": "1" * 3000}]
    cases = read_cases(write(tmp_path / "cases.jsonl", *rows))
    with Verifier() as verifier:
        assert judge_cases(cases.judged, verifier) == []
    assert len(cases.judged) == 2
    ((place, reason),) = cases.left_out.items()
    assert place.endswith("cases.jsonl:3") and "too long" in reason


def test_a_missing_field_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"cases\.jsonl:1: field 'expected' is missing"):
        read_cases(write(tmp_path / "cases.jsonl", {"gold": "5", "candidate": ""}))
