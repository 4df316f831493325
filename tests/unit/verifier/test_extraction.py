"""Extraction of answers and exact integers, on ordinary and on hostile text."""

from decimal import Decimal
from random import Random
from time import process_time

import pytest

from paring.verifier.extraction import final_answer, last_box, last_number, marked_answer, tagged_answer
from paring.verifier.integers import MOST_DIGITS, integer, same_integer


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", None),
        ("no number", None),
        ("7 * 8 = 56", "56"),
        ("It is 56.", "56"),
        ("first 1,234 then 109,200,000!", "109,200,000"),
        ("one of 1,2,3", "3"),
        ("1,234,5678", "5678"),
        ("= -3", "-3"),
        ("= −3", "-3"),
        ("7-3", "3"),
        ("(7)-3", "3"),
        ("$-5", "-5"),
        ("-$5", "-$5"),
        (r"\boxed{18}", "18"),
        ("7.5", "7.5"),
        (".5", ".5"),
        ("wait ...5", "5"),
        ("1e5", "1e5"),
        ("1/2", "2"),
        ("20 cm2", "20"),
        ("x1", None),
        ("5 eggs", "5"),
        ("答案是18元", "18"),
        ("５６", "56"),
        ("٣", None),
        ("5²", "5"),
        ("7 \x00\ud800", "7"),
    ],
)
def test_last_number(text, number):
    assert last_number(text) == number


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("", None),
        ("<answer>5", None),
        ("5</answer>", None),
        ("</answer>5<answer>", None),
        ("<answer> 5\n</answer>", "5"),
        ("<answer></answer>", ""),
        ("<answer>4</answer><answer>5</answer>", "5"),
        ("<answer>4</answer><answer>5", "4"),
        ("<answer>5</answer> 6</answer>", "5"),
        ("<answer>4<answer>5</answer></answer>", "5"),
        ("<ANSWER>5</ANSWER>", None),
        ("<answer>\ud800</answer>", "\ud800"),
    ],
)
def test_tagged_answer(text, answer):
    assert tagged_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [("", None), ("72", None), ("#### 72", "72"), ("#### 1\n#### 2 \nDone", "2"), ("####", ""), ("##### 3", "3")],
)
def test_marked_answer(text, answer):
    assert marked_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("", None),
        ("\\boxed", None),
        ("\\boxed{5", None),
        ("\\boxed{}", ""),
        ("\\boxed{ 5 }", "5"),
        ("\\fbox{5}", "5"),
        ("\\boxed{4} then \\boxed{5}", "5"),
        ("\\boxed{4} then \\boxed{5", "4"),
        ("\\boxed{\\boxed{5}}", "5"),
        ("{\\boxed{5}", "5"),
        ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("\\boxed{\\{1, 2\\}}", "\\{1, 2\\}"),
        ("\\boxed{a \\} b}", "a \\} b"),
        ("\\boxed{1 \\\\} 2}", "1 \\\\"),
        ("\\\\boxed{5}", "5"),
        ("the word boxed{5}", None),
        ("\\boxed {5}", "5"),
        ("} \\boxed{5} }", "5"),
    ],
)
def test_last_box(text, answer):
    assert last_box(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("", None),
        ("the answer is 5", None),
        ("<answer>5</answer>", "5"),
        ("\\boxed{5}", "5"),
        ("\\boxed{4} <answer>5</answer>", "5"),
        ("<answer>4</answer> \\boxed{5}", "5"),
        ("<answer>it is \\boxed{5}.</answer>", "5"),
        ("<answer>5</answer> \\boxed{4", "5"),
        ("\\boxed{5} \\boxed{}", ""),
        ("<think> \\boxed{5} </think>", None),
        ("<think> \\boxed{4} </think> \\boxed{5}", "5"),
        ("<think> \\boxed{5}", "5"),
        ("<think> \\boxed{4} </think> \\boxed{5} </think>", "5"),
        ("\\boxed 5", "5"),
        ("<Answer>5</ANSWER>", "5"),
        ("<answer>The answer is 5</answer>", "5"),
        ("<answer> 5", None),
        ("\\boxed{5}\nUser: and now?\n\\boxed{6}", "5"),
        ("\\boxed{5}\n\\boxed{6}", "6"),
    ],
)
def test_final_answer(text, answer):
    assert final_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-0", 0),
        ("007", 7),
        (" 72\n", 72),
        ("+72", 72),
        ("-72", -72),
        ("−72", -72),
        ("109,200,000", 109_200_000),
        ("$18", 18),
        ("-$18", -18),
        ("$-18", -18),
        (r"\$18", 18),
        ("$18$", 18),
        ("18€", 18),
        ("￥18", 18),
        ("18.", 18),
        ("18.0", 18),
        ("18.00.", 18),
        ("１，２３４", 1234),
        ("－５", -5),
        ("9" * MOST_DIGITS, int("9" * MOST_DIGITS)),
        ("1," + ",".join(["000"] * 133), 10**399),
    ],
)
def test_what_is_an_integer(text, value):
    assert integer(text) == value


NOT_INTEGERS = [
    *["", " ", "-", "$", ".", ".0", "1.5", "1.01", "1/2", "1e5", "18%", "18 dollars", "five", "nan", "inf", "True"],
    *["- 5", "--5", "-$-5", "+-5", "5..", "1 234", "1_234", "1,23", "1234,567", ",123", "1,234,", "1.234.567", "0x10"],
    *["5²", "½", "①", "٣", "5\u200b", "\u202e5", "5\x00", "\ud800", "1\n2", "[5]", "<answer>5</answer>"],
    *["9**9**9", "__import__('os').system('true')", "9" * (MOST_DIGITS + 1), "9" * 1_000_000],
]


@pytest.mark.parametrize("text", NOT_INTEGERS, ids=lambda text: ascii(text[:20]))
def test_what_is_no_integer(text):
    assert integer(text) is None


def test_what_is_read_as_an_integer_has_that_value_for_decimal_too():
    draw, read = Random(0), 0
    for _ in range(50_000):
        text = "".join(draw.choices("0125.-+ e²", k=draw.randint(1, 6)))
        value = integer(text)
        if value is not None:
            assert Decimal(text.strip().removesuffix(".")) == value
            read += 1
    assert read > 1000


def test_every_integer_is_read_back_from_each_way_to_write_it():
    draw = Random(0)
    for _ in range(5_000):
        value = draw.randint(-(10 ** draw.randint(1, 30)), 10**12)
        for text in (f"{value}", f"{value:,}", f"{value:,}.00", f"${value}.", f" {value:+}\n", f"so {value:,}"):
            assert integer(last_number(text)) == value
            assert text.startswith("so") or integer(text) == value


def test_two_texts_that_are_no_integers_are_not_the_same_integer():
    assert same_integer("1,000.", "1000")
    assert not same_integer("1001", "1000")
    assert not same_integer("x", "x")
    assert not same_integer(None, "5")


@pytest.mark.parametrize(
    "text",
    [
        "9" * 2_000_000,
        "1," * 1_000_000,
        "1,111" * 400_000,
        "x" + "1,111," * 300_000 + "1",
        "-" * 2_000_000,
        "１．" * 1_000_000,
        "\u0300\u0327" * 1_000_000,
        "<answer>" * 200_000,
        "</answer>" * 200_000,
        "<answer>" * 100_000 + "5" + "</answer>" * 100_000,
        "#" * 2_000_000,
        "\\boxed{" * 100_000,
        "\\boxed{5}" * 100_000,
        "\\boxed{" + "{" * 200_000,
        "\\boxed{5" + "}" * 200_000,
        "\\boxed{" * 100_000 + "}" * 100_000,
        "\\boxed" + " " * 2_000_000,
        "\\" * 2_000_000,
        " " * 2_000_000,
    ],
    ids=lambda text: f"{text[:12]!r}",
)
def test_megabytes_take_linear_time(text):
    start = process_time()
    for extract in (last_number, tagged_answer, marked_answer, integer, last_box, final_answer):
        extract(text)
    assert process_time() - start < 5  # seconds; quadratic time would be hours
