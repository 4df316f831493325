"""Expressions in hostile text: what is read, and to what number; what is refused, without being run."""

import time
from fractions import Fraction

import pytest

from paring.tasks.expressions import DEEPEST, LONGEST, read_expression


@pytest.mark.parametrize(
    ("text", "value", "numbers"),
    [
        ("7", 7, (7,)),
        ("1 + 2 * 3", 7, (1, 2, 3)),
        ("(1 + 2) * 3", 9, (1, 2, 3)),
        ("10-4-3", 3, (10, 4, 3)),
        ("8 / (3 - 8 / 3)", 24, (8, 3, 8, 3)),
        ("1/3+1/3+1/3", 1, (1, 3, 1, 3, 1, 3)),
        (" 3 - 5 ", -2, (3, 5)),
        ("((((5))))", 5, (5,)),
        ("0 * 999999999", 0, (0, 999999999)),
        ("1 / 3", Fraction(1, 3), (1, 3)),
    ],
)
def test_what_is_read(text, value, numbers):
    found = read_expression(text)
    assert found.value == value and found.numbers == numbers


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "2 ** 3",
        "9**9**9**9**9",
        "7 // 2",
        "7 % 2",
        "-7",
        "+7",
        "3 - -2",
        "1.5 + 2",
        "1e9",
        "1_000",
        "0x10",
        "007",
        "1 / 0",
        "1 / (3 - 3)",
        "1 + ",
        "(1 + 2",
        "1 (2)",
        "(1)(2)",
        "1, 2",
        "1 = 1",
        "1 == 1",
        "1 + 2\n+ 3",
        "١ + ٢",
        "1 × 2",
        "1234567890",
        "True",
        "__import__('os').system('true')",
        "print(1)",
        "[1][0]",
        "1 if 1 else 2",
        "lambda: 1",
        "\x00",
        "\ud800",
        "1 + 1 # no",
        "1 + 1;",
    ],
)
def test_what_is_refused(text):
    assert read_expression(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "(" * 1_000_000,
        "1+" * 500_000 + "1",
        "9" * 1_000_000,
        "-" * 190 + "1",
        "(" * 99 + "1" + ")" * 99,
        " " * 1_000_000,
    ],
)
def test_hostile_text_costs_nothing(text):
    start = time.perf_counter()
    found = read_expression(text)
    assert time.perf_counter() - start < 2
    assert found is None or found.value == 1


def test_the_limits_are_where_they_are_said_to_be():
    assert read_expression("1+" * DEEPEST + "1").value == DEEPEST + 1
    assert read_expression("1+" * (DEEPEST + 1) + "1") is None
    assert read_expression("1" + " " * (LONGEST - 3) + "+1").value == 2
    assert read_expression("1" + " " * (LONGEST - 2) + "+1") is None
    assert read_expression("999999999").value == 999_999_999
