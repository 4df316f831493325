"""Extraction and comparison on random mathematics: no error, the same verdict twice, and every gold is itself."""

from typing import get_args

import pytest

pytest.importorskip("hypothesis")

from hypothesis import given, settings
from hypothesis import strategies as st

from paring.verifier import Gold, Kind
from paring.verifier.extraction import final_answer
from paring.verifier.verdicts import NeedsAlgebra, decide

PIECES = [
    *r"\boxed{ } <answer> </answer> </think> \frac \dfrac12 \sqrt { \{ \} ( ) [ ] , ; : = < \le \ne \in \cup".split(),
    *r"\pm \text{ \mathrm{ \begin{pmatrix} \end{pmatrix} & \\ ^ _ ^{ _{ ! / . - + % \% $ and or 且 或 分之 万".split(),
    *"元 cm ° ½ ² √ − ５ 0 1 23 4567 x y \\left \\right \\overline{ \\cdot \\times 10^ \\infty \\pi e | A B".split(),
    *[" ", " and ", " or ", "\u202e", "\u200b", "\x00", "\ud800", "٣", "①"],
]
GOLDS = [
    "5",
    "0.5",
    r"\frac{1}{2}",
    r"25\%",
    "C",
    "ACD",
    r"\text{Evelyn}",
    "2112_6",
    "1:9",
    "1, -2",
    r"\{1, 2\}",
    "(1, 2)",
]
MATHEMATICS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), max_size=30).map("".join)


def verdict(gold, text):
    try:
        return decide(gold, text)
    except NeedsAlgebra as needed:
        return needed.answer


@settings(max_examples=400, deadline=None, derandomize=True)
@given(gold=st.sampled_from(GOLDS).map(Gold.read), text=MATHEMATICS)
def test_any_text_gets_one_verdict(gold, text):
    for tried in (text, rf"\boxed{{{text}}}", f"<answer>{text}</answer>"):
        assert verdict(gold, tried) == verdict(gold, tried)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(text=MATHEMATICS)
def test_whatever_is_a_gold_is_itself(text):
    try:
        gold = Gold.read(text)
    except ValueError:
        return
    if final_answer(rf"\boxed{{{text}}}") == text.strip():
        assert decide(gold, rf"\boxed{{{text}}}").correct


@settings(max_examples=300, deadline=None, derandomize=True)
@given(gold=MATHEMATICS, kind=st.sampled_from(get_args(Kind)), text=MATHEMATICS)
def test_a_kind_that_does_not_fit_is_an_error_when_it_is_read_or_none(gold, kind, text):
    try:
        read = Gold.read(gold, kind)
    except ValueError:
        return
    verdict(read, rf"\boxed{{{text}}}")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(value=st.integers(), other=st.integers(), unit=st.sampled_from(["", r"\%", "cm", r"\text{ ways}", "元"]))
def test_integers_are_right_exactly_where_they_are_equal(value, other, unit):
    gold = Gold.read(f"{value}")
    assert decide(gold, rf"\boxed{{{value:,}.0{unit}}}").correct or (unit == r"\%" and abs(value) < 2)
    assert decide(gold, rf"\boxed{{{other}}}").correct == (value == other)
