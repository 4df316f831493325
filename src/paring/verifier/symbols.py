"""Algebra by math-verify, in worker processes only: it may hang or fill the memory, and is then killed from outside.

Two expressions are compared by their values at fixed rational points, exactly or to 30 digits; math-verify decides
where they have none. Its own comparison alone rounds at 6 digits, drops unit letters and reads but half of some texts.
"""

import re
from random import Random

from latex2sympy2_extended import latex2sympy
from math_verify import verify
from math_verify.grader import should_treat_as_complex
from sympy import Expr, Rational

from paring.verifier.verdicts import Unreadable

POINTS = 5
_DIGITS = 50
_AGREEING = Rational(1, 10**30)
_DECIMAL = re.compile(r"([0-9]*)\.([0-9]+)")  # exact, where the parser would make floating point of it
_DEGREES = re.compile(r"([0-9]+|\\frac\{[0-9]+\}\{[0-9]+\}) ?°")
_NO_LETTERS = re.compile(
    r"\\(?!alpha|beta|gamma|delta|theta|lambda|mu|nu|omega|varphi|phi|rho|sigma|tau|epsilon|xi|eta|kappa)[A-Za-z]+"
)


class MathVerify:
    """Compares expressions in tidy spelling. Raises Unreadable; MemoryError, or worse, where something explodes."""

    def equal(self, gold: str, answer: str) -> bool:
        """Whether two expressions have the same letters, and the same values wherever they have any."""
        if _letters(gold) != _letters(answer):
            return False
        right, given = _parsed(gold), _parsed(answer)
        pairs = [(_value(right, at), _value(given, at)) for at in range(POINTS if right.free_symbols else 1)]
        valued = [(one, other) for one, other in pairs if one is not None and other is not None]
        if not valued:
            return bool(verify(right, given, timeout_seconds=None))
        return all(_agree(one, other) for one, other in valued)

    def proportional(self, gold: tuple[str, str], answer: tuple[str, str], *, sign: bool) -> bool:
        """Whether left minus right of both differ by a constant factor, the same at each point; positive if `sign`."""
        if _letters(" ".join(gold)) != _letters(" ".join(answer)):
            return False
        (left, right), (first, second) = (tuple(map(_parsed, sides)) for sides in (gold, answer))
        factor = None
        for at in range(POINTS):
            values = [value for side in (left, right, first, second) if (value := _value(side, at)) is not None]
            if len(values) < 4:
                continue
            one, other = values[0] - values[1], values[2] - values[3]
            if _agree(values[0], values[1]) or _agree(values[2], values[3]):
                return False
            factor = one / other if factor is None else factor
            if not _agree(one, factor * other):
                return False
        return factor is not None and (not sign or bool(factor.evalf(_DIGITS) > 0))


def _letters(text: str) -> set[str]:
    """The variables of a text. e and i may be numbers, so they are left to the values."""
    letters = _NO_LETTERS.sub(" ", text)
    return set(re.findall(r"\\[A-Za-z]+|[A-Za-z]", letters)) - {"e", "i"}


def _parsed(text: str) -> Expr:
    exact = _DECIMAL.sub(lambda decimal: rf"\frac{{{decimal[1]}{decimal[2]}}}{{1{'0' * len(decimal[2])}}}", text)
    radians = _DEGREES.sub(r"(\1 \\cdot \\frac{\\pi}{180})", exact)
    try:
        parsed = latex2sympy(radians, is_real=not should_treat_as_complex(text), normalization_config=None)
    except MemoryError:
        raise
    except Exception as error:  # the parser raises all kinds on hostile text; none of it is ours
        raise Unreadable(text) from error
    if not isinstance(parsed, Expr):
        raise Unreadable(text)
    return parsed


def _value(expression: Expr, at: int) -> Expr | None:
    """The exact value at a point that depends on `at` and the letters' names alone; None where it has none."""
    point = {letter: _coordinate(at, str(letter)) for letter in expression.free_symbols}
    try:
        value = expression.xreplace(point).doit()
        if not isinstance(value, Expr):
            return None
        number = value.evalf(_DIGITS)
    except (ArithmeticError, AttributeError, NotImplementedError, TypeError, ValueError):
        return None
    return value if number.is_number and number.is_finite else None


def _coordinate(at: int, name: str) -> Rational:
    """Two of the five points lie within -1 and 1, so that no high or low powers hide the rest; three are positive."""
    draw = Random(f"{at} {name}")
    size = Rational(draw.randint(11, 99), draw.choice((7, 13, 17, 19)))
    return (-1) ** at * (1 / size if at in (1, 2) else size)


def _agree(one: Expr, other: Expr) -> bool:
    """Exactly, where both are fractions of integers; else to 30 digits, but no fraction is an irrational number."""
    if one.is_Rational and other.is_Rational:
        return one == other
    if (one.is_Rational or other.is_Rational) and False in (one.is_rational, other.is_rational):
        return False
    left, right = one.evalf(_DIGITS), other.evalf(_DIGITS)
    return bool(abs(left - right) <= _AGREEING * max(abs(left), abs(right)))
