"""Whole cases: those given with the design, our own held-out ones, and the golds of every benchmark."""

import json
import re
from importlib.util import find_spec
from pathlib import Path
from random import Random

import pytest

from paring.verifier import Gold, Verifier
from paring.verifier.cases import judge_cases, read_cases
from paring.verifier.extraction import last_box
from paring.verifier.verdicts import NeedsAlgebra, decide

SHARED = Path(__file__).parents[4] / "shared"
GIVEN = SHARED / "verifier" / "cases.jsonl"
HELD_OUT = Path(__file__).with_name("held_out.jsonl")
KINDS = Path(__file__).with_name("kinds.jsonl")
"""Kinds A to J of what was decided wrongly, in others' test suites and in cases of our own (docs/verifier.md)."""
GOLD_FIELDS = ("choice_answer", "final_answer", "answer", "solution")
_DOLLAR = re.compile(r"(?<!\\)\$")
needs_math_verify = pytest.mark.skipif(find_spec("math_verify") is None, reason="needs math-verify")


def benchmark_golds():
    """By benchmark: the golds of the rows as they are written in the files."""
    for path in sorted((SHARED / "data").glob("*/test.jsonl")):
        golds = set()
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            gold = next((row[field] for field in GOLD_FIELDS if row.get(field) not in (None, "")), "")
            if path.parent.name == "mmlu_stem":
                gold = "ABCD"[gold]
            elif "boxed" in str(gold) or "\\fbox" in str(gold):
                gold = last_box(gold)
            gold = str(gold[0] if isinstance(gold, list) else gold).rpartition("####")[2].strip()
            golds |= {gold} - {"", "None"}
        yield path.parent.name, sorted(golds)


@pytest.fixture(scope="module")
def verifier():
    with Verifier(workers=1, seconds=30) as verifier:
        yield verifier


@needs_math_verify
@pytest.mark.parametrize("path", [GIVEN, HELD_OUT, KINDS], ids=["given", "held-out", "kinds"])
def test_every_case_is_decided_rightly(path, verifier):
    if not path.is_file():
        pytest.skip("the cases are not here")
    wrong = judge_cases(read_cases(path).judged, verifier)
    assert [(case.golds, verdict.answer, verdict.why) for case, verdict in wrong] == []


@pytest.mark.parametrize(
    ("name", "golds"), benchmark_golds(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_gold_is_itself_in_each_way_that_a_model_writes(name, golds):
    frac, dfrac = r"\frac", r"\dfrac"
    ways = {
        "box": lambda gold: rf"Therefore it is \boxed{{{gold}}}.",
        "tags": lambda gold: f"<think> hm </think>\n<answer> {gold} </answer>",
        "display": lambda gold: rf"\[ \boxed{{ {gold.replace(frac, dfrac)} }} \]",
        "dollars": lambda gold: rf"The answer is $\boxed{{${_DOLLAR.sub('', gold)}$}}$",
    }
    for gold in golds:
        for way, write in ways.items():
            text = gold if len(_DOLLAR.findall(gold)) != 1 else _DOLLAR.sub("", gold)
            assert decide(Gold.read(gold), write(text)).correct, (gold, way)


@pytest.mark.parametrize(
    ("name", "golds"), benchmark_golds(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_golds_that_are_not_the_same_are_not_taken_for_each_other(name, golds):
    """Random pairs that are taken for one are the same in digits, or in value by a reading of Python's."""
    draw = Random(name)
    for _ in range(1000 if len(golds) > 1 else 0):
        gold, other = draw.sample(golds, 2)
        try:
            taken = decide(Gold.read(gold), rf"\boxed{{{other}}}").correct
        except NeedsAlgebra:
            continue
        assert not taken or _alike(gold, other), (gold, other)


def _alike(gold, other):
    """The same characters in any order but for spelling, or the same fraction."""
    plain = [
        re.sub(r"\\\$|[${}\s]|\\[,!; ]|\^\{?\\circ\}?|\\[dt]?frac|cm|\^2|\\%|%|\\[{}]|^[a-z]=|/", "", text)
        for text in (gold, other)
    ]
    return sorted(plain[0]) == sorted(plain[1]) or len({_value(gold), _value(other)}) == 1


def _value(text):
    parts = re.fullmatch(r"\$?(-?)(\d*)\\[dt]?frac\{?(\d)\}?\{?(\d+)\}?\$?", text.replace(" ", ""))
    if parts:
        sign, whole, above, below = parts.groups()
        return round(float(f"{sign}1") * (int(whole or 0) + int(above) / int(below)), 12)
    return round(float(re.sub(r"[$,]", "", text)), 12) if re.fullmatch(r"[$]?-?[\d,.]+[$]?", text) else text
