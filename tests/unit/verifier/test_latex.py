"""One spelling for each meaning."""

import re

import pytest

from paring.verifier.characters import is_hidden, plain
from paring.verifier.latex import compact, split_outside, tidy


@pytest.mark.parametrize(
    ("text", "tidied"),
    [
        (r"\dfrac12", r"\frac{1}{2}"),
        (r"\frac 43", r"\frac{4}{3}"),
        (r"\frac{1}2", r"\frac{1}{2}"),
        (r"\frac\pi4", r"\frac{\pi}{4}"),
        (r"\tfrac{8\pi}5", r"\frac{8\pi}{5}"),
        (r"10^{\frac12}", r"10^{\frac{1}{2}}"),
        (r"\sqrt[3]7", r"\sqrt[3]{7}"),
        ("√15/2", r"\sqrt{15}/2"),
        ("2½", r"2\frac{1}{2}"),
        ("5²", "5^{2}"),
        ("x₁₂", "x_{12}"),
        (r"111, \! 111, \! 111", "111,111,111"),
        (r"1{,}450{,}000", "1,450,000"),
        (r"\text{ACF}", r"\text{ACF}"),
        (r"\mathrm{e}-1", "e-1"),
        (r"\text{13}", "13"),
        (r"7, -2, \text{ and } -5", "7,-2,-5"),
        ("$5$ or $9$", r"5\lor9"),
        (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\frac{\pi}{2})"),
        (r"\begin{pmatrix} 1 \\ 3 \end{pmatrix}", r"\begin{pmatrix}1\cr3\end{pmatrix}"),
        (r"48^\circ", "48°"),
        ("ln2", r"\ln2"),
        (r"{\boxed{5}}.", "5"),
        ("３．５", "3.5"),
        ("𝟓", "5"),
    ],
)
def test_tidy(text, tidied):
    assert compact(tidy(text)) == tidied


def test_tidying_what_is_tidy_changes_nothing_that_counts():
    for text in (
        r"\frac{1}{2}",
        r"36\text{cm}^2",
        r"(-\infty ,-8)\cup (8,\infty )",
        r"\sin ^2 x",
        "2112_6",
        r"\{1,2\}",
    ):
        assert compact(tidy(tidy(text))) == compact(tidy(text))


@pytest.mark.parametrize("character", ["\u202e", "\u2066", "\x00", "\x1b", "\ud800", "\ue000", "\u200d"])
def test_hidden_characters_are_seen(character):
    assert is_hidden(f"5{character}")


@pytest.mark.parametrize("text", ["5\n", "5\t", "第一象限", "5\u200b", "\ufeff5"])
def test_ordinary_text_hides_nothing(text):
    assert not is_hidden(text)


def test_digits_that_only_look_like_some_stay_what_they_are():
    assert plain("①٣") == "①٣"


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        (" a b ", ["a b"]),
        (" a = b=c =", ["a", "b", "c", ""]),
        ("(a = b) = c", ["(a = b)", "c"]),
        ("a = b) = [c", ["a", "b)", "[c"]),
    ],
)
def test_pieces_stand_between_separators_outside_of_brackets(text, pieces):
    assert split_outside(text, re.compile("=")) == pieces
