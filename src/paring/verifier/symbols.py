"""Algebra by math-verify, in worker processes only: it may hang or fill the memory, and is then killed from outside.

Two expressions are compared by their values at fixed rational points, to 30 digits of each; math-verify decides where
they have none. Its own comparison alone rounds at 6 digits, drops unit letters and reads only a part of some texts.
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
            values = [_value(side, at) for side in (left, right, first, second)]
            if any(value is None for value in values):
                continue
            one, other = values[0] - values[1], values[2] - values[3]
            if one == 0 or other == 0:
                return False
            factor = one / other if factor is None else factor
            if not _agree(one, factor * other):
                return False
        return factor is not None and (not sign or (factor.is_real and factor > 0))


def _letters(text: str) -> set[str]:
    """The variables of a text. e and i may be numbers, so they are left to the values."""
    letters = _NO_LETTERS.sub(" ", text)
    return set(re.findall(r"\\[A-Za-z]+|[A-Za-z]", letters)) - {"e", "i"}


def _parsed(text: str) -> Expr:
    radians = re.sub(r"([0-9.]+) ?°", r"(\\frac{\1 \\pi}{180})", text)
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
    """The value at a point that depends on `at` and the letters' names alone, to 50 digits; None where it has none."""
    point = {letter: _coordinate(at, letter.name) for letter in expression.free_symbols}
    try:
        value = expression.xreplace(point).evalf(_DIGITS)
    except (ArithmeticError, AttributeError, NotImplementedError, TypeError, ValueError):
        return None
    return value if value.is_number and value.is_finite else None


def _coordinate(at: int, name: str) -> Rational:
    """Points with an even number are positive, so that roots and logarithms of the letters are real at some."""
    draw = Random(f"{at} {name}")
    return Rational(draw.randint(11, 99) * (-1) ** at, draw.choice((7, 13, 17, 19)))


def _agree(one: Expr, other: Expr) -> bool:
    return bool(abs(one - other) <= _AGREEING * max(abs(one), abs(other)))
