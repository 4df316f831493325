"""Exact numbers, their units, and what is no number."""

from fractions import Fraction
from random import Random

import pytest

from paring.verifier.latex import tidy
from paring.verifier.numbers import read_number


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("18", 18, ""),
        ("-3", -3, ""),
        (r"\$16,\!386.16", Fraction(1638616, 100), ""),
        (r"-\$0.50", Fraction(-1, 2), ""),
        (r"\frac{-2}{3}", Fraction(-2, 3), ""),
        (r"-\frac{2}{-3}", Fraction(2, 3), ""),
        (r"\frac{12}{5,\!525}", Fraction(12, 5525), ""),
        ("-2 1/2", Fraction(-5, 2), ""),
        (r"3.84 \times 10^{5}", 384000, ""),
        ("6.72e-5", Fraction(672, 10**7), ""),
        (r"0.\overline{3}", Fraction(1, 3), ""),
        (r"1.2\overline{34}", Fraction(1222, 990), ""),
        (r"5\%", Fraction(1, 20), ""),
        ("百分之25", Fraction(1, 4), ""),
        ("二十一分之二", Fraction(2, 21), ""),
        (r"36 \text{ cm}^2", 36, "cm^2"),
        ("36cm²", 36, "cm^2"),
        ("90 square feet", 90, "ft^2"),
        (r"5\,\mathrm{m}", 5, "m"),
        (r"9\text{ a.m.}", 9, "am"),
        ("48.1元", Fraction(481, 10), "yuan"),
        ("1330万元", 13_300_000, "yuan"),
        ("12 345", 12345, ""),
    ],
)
def test_what_is_a_number(text, value, unit):
    number = read_number(tidy(text))
    assert (number.value, number.suffix.unit) == (value, unit)


@pytest.mark.parametrize(
    "text",
    [
        *[
            "",
            "-",
            "5!",
            "2+3",
            "2^{10}",
            "1/2/3",
            "1/0",
            r"\frac{1}{0}",
            "5 or 6",
            r"12\times18",
            "1:30",
            "1,2",
            "--5",
        ],
        *[
            "10^{10^{10}}",
            "10^{99999}",
            "1e99999",
            "1e401",
            "٣",
            "①",
            "5m",
            "5m",
            "5x",
            "3s^2",
            "1, 234",
            "0x10",
            "1_000",
        ],
        *["5 hundred", "5多", "5以上", "5 to 6", "not 5", "12 dollars and 5 cents", "9" * 401, "1/" + "9" * 401, "NaN"],
    ],
)
def test_what_is_no_number(text):
    assert read_number(tidy(text)) is None


def test_a_number_survives_each_way_of_writing_it():
    draw = Random(0)
    for _ in range(500):
        above, below = draw.randint(-(10**6), 10**6), draw.randint(1, 10**4)
        for text in (
            rf"\frac{{{above}}}{{{below}}}",
            f"{above}/{below}",
            rf"\dfrac{{{above}}} {{ {below} }} \text{{ kg}}",
        ):
            assert read_number(tidy(text)).value == Fraction(above, below)
        places = draw.randint(0, 9)
        decimal = f"{above}." + "".join(draw.choices("0123456789", k=places))
        for text in (decimal, f"${decimal}$", decimal + "元", decimal + "e3", rf"{decimal} \times 10^{{3}}"):
            thousand = 1000 if "e3" in text or "times" in text else 1
            assert read_number(tidy(text)).value == Fraction(decimal.rstrip(".")) * thousand
