"""What is refused before a parser sees it, and that no gold of mathematics is."""

import pytest

from paring.verifier.danger import explodes, is_bulky, operators
from paring.verifier.latex import tidy


@pytest.mark.parametrize(
    "text",
    [
        *[
            "9^{9^{9}}",
            "9^{9^9}",
            "9**9**9",
            "((9^9)^{9999})^{9999}",
            "((((9^9)^9)^9)^9)^9",
            "10^{10000000}",
            "x^{9^{9^9}}",
        ],
        *["100000!", "100,000!", "((9!)!)!", "(9!)!", "5!!", "2^{5!}", r"\binom{100000}{5}", "C_{1000000}^{5}"],
        *[r"9 \uparrow\uparrow 9", "e^{e^{e^{9}}}", r"\exp(\exp(\exp(9)))", "2^{9^{9}}", "2^{2^{2^n}}", "9^9^9"],
        *["{9^9}^{99999}", r"\frac{9^9}{2}^{99999}", r"(9^{99} \cdot 2)^{999}"],
    ],
)
def test_what_explodes(text):
    assert explodes(tidy(text))


@pytest.mark.parametrize(
    "text",
    [
        *[
            "3^{2007}",
            "10^{100}",
            r"\frac{100!}{2^{50}}",
            r"\frac{1}{2004!}",
            "7z^{96}(4z+1)",
            r"e^{x^2}",
            r"\binom{2n}{n}",
        ],
        *[
            r"C_{400}^{40} \cdot C_{200}^{20}",
            r"x^8+x^7+x^6+x^5+x^4+x^3+x^2+x+1",
            r"\frac{d !}{2 k(d-k) !}",
            "2^{-2/3}",
        ],
        *[r"\left(\frac{x^2}{y} + (a+b)^2\right)^2", r"((x+1)^2 - 3)^2"],
    ],
)
def test_ordinary_mathematics_does_not(text):
    assert not explodes(tidy(text))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (r"\sum_{k=1}^9 k + \prod_{k=1}^9 k", {"sum", "prod"}),
        (r"\int_0^1 x", {"int"}),
        (r"\lim_{x \to 0} x", {"lim"}),
        (r"\gcd(m, n)", {"gcd"}),
        (r"p_1 p_2 \cdots p_n", {"prod"}),
        ("2^{2^n}", {"tower"}),
        (r"\frac{1}{2}", set()),
    ],
)
def test_what_an_answer_may_have_only_with_its_gold(text, names):
    assert operators(tidy(text)) == names
    assert not explodes(tidy(text))


@pytest.mark.parametrize("text", ["1" * 2001, "(" * 33, "9" * 401, "1," * 101 + "1", "{" * 40 + "}" * 40, "9," * 401])
def test_what_is_bulky(text):
    assert is_bulky(text)


@pytest.mark.parametrize("text", ["1" * 400, "(" * 32 + ")" * 32, "1," * 99 + "1", "()" * 500])
def test_what_is_not(text):
    assert not is_bulky(text)
