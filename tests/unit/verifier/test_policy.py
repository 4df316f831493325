"""The table of docs/verifier.md, line by line: what it says is what the verifier does."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from paring.verifier import Gold, Verifier

PAGE = Path(__file__).parents[3] / "docs" / "verifier.md"
ROW = re.compile(r"\| `([^`]+)` \| (.+?) \| (.*?) \| (.*?) \|")


def rows():
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| `") and (found := ROW.fullmatch(line)):
            yield found[1], re.findall("`([^`]+)`", found[2]), re.findall("`([^`]+)`", found[3])


@pytest.fixture(scope="module")
def verifier():
    with Verifier(workers=1, seconds=30) as verifier:
        yield verifier


def test_the_table_is_read_whole():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    assert len(list(rows())) == sum(line.startswith("| `") for line in lines) > 35


@pytest.mark.parametrize(("gold", "right", "wrong"), rows(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_line_of_the_table(verifier, gold, right, wrong):
    read = Gold.read(gold)
    if read.needs_symbols and find_spec("math_verify") is None:
        pytest.skip("needs math-verify")
    verdicts = verifier.judge([(read, rf"\boxed{{{answer}}}") for answer in (gold, *right, *wrong)])
    decided = dict(zip((gold, *right, *wrong), verdicts, strict=True))
    assert [answer for answer, verdict in decided.items() if verdict.correct] == list(dict.fromkeys((gold, *right)))
    assert {verdict.why for verdict in verdicts} <= {"right", "wrong", "unreadable"}
