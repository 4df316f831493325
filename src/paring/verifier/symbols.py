"""Algebra by math-verify, in worker processes only: it may hang or fill the memory, and is then killed from outside.

Two expressions are compared by their values at fixed rational points, exactly or to 30 digits; math-verify decides
where they have none. Its own comparison alone rounds at 6 digits, drops unit letters and reads but half of some texts.
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import starmap

from latex2sympy2_extended import latex2sympy
from math_verify import verify
from sympy import Expr, I, Rational, Symbol, acot, atan, pi

from paring.verifier.points import DIGITS, are_positive, coordinate, value_at
from paring.verifier.readings import BINDING, Reading, letters_of, readings
from paring.verifier.verdicts import Unreadable

POINTS = 5
FEWEST_POINTS = 2
"""Points at which both must have a value, if the gold has one at so many."""
_AGREEING = Rational(1, 10**30)


class MathVerify:
    """Compares expressions in tidy spelling. Raises Unreadable; MemoryError, or worse, where something explodes."""

    def equal(self, gold: str, answer: str) -> bool:
        """Whether two expressions have the same letters, and the same values wherever both have one."""
        return _has_same_letters(gold, answer) and any(
            _equal(_parsed(gold, reading), _parsed(answer, reading), reading) for reading in readings(gold, answer)
        )

    def proportional(self, gold: tuple[str, str], answer: tuple[str, str], *, sign: bool) -> bool:
        """Whether left minus right of both differ by a constant factor, the same at each point; positive if `sign`."""
        if not _has_same_letters(" ".join(gold), " ".join(answer)):
            return False
        return any(
            _proportional([_parsed(side, reading) for side in (*gold, *answer)], reading, sign=sign)
            for reading in readings(" ".join(gold), " ".join(answer))
        )


def _has_same_letters(gold: str, answer: str) -> bool:
    return BINDING.search(gold) is not None or letters_of(gold) == letters_of(answer)


def _equal(right: Expr, given: Expr, reading: Reading) -> bool:
    for is_real in (False,) if reading.is_complex else (True, False):
        pairs = list(_values([right], [given], reading, is_real=is_real))
        valued = [(one, other) for one, other in pairs if one is not None and other is not None]
        if len(valued) >= max(1, min(FEWEST_POINTS, sum(one is not None for one, _ in pairs))):
            return all(starmap(_agree, valued))
    return bool(verify(right, given, timeout_seconds=None))


def _proportional(sides: list[Expr], reading: Reading, *, sign: bool) -> bool:
    factor = None
    for values in _values(sides[:2], sides[2:], reading, is_real=not reading.is_complex):
        left, right, first, second = values
        if left is None or right is None or first is None or second is None:
            continue
        one, other = left - right, first - second
        if _agree(left, right) or _agree(first, second):
            return False
        factor = one / other if factor is None else factor
        if not _agree(one, factor * other):
            return False
    return factor is not None and (not sign or bool(factor.evalf(DIGITS) > 0))


def _values(gold: list[Expr], answer: list[Expr], reading: Reading, *, is_real: bool) -> Iterator[list[Expr | None]]:
    """The values of all at each point; at one point where there are no letters."""
    free = {letter for expression in (*gold, *answer) for letter in expression.free_symbols}
    letters = {letter for letter in free if isinstance(letter, Symbol)}
    is_positive = is_real and any(map(are_positive, gold))
    for at in range(POINTS if letters else 1):
        point: dict[Symbol, Expr] = {
            letter: coordinate(at, letter.name, is_whole=letter.name in reading.whole, is_positive=is_positive)
            for letter in letters
        }
        yield [value_at(expression, point, is_real=is_real) for expression in (*gold, *answer)]


@lru_cache(maxsize=256)
def _parsed(text: str, reading: Reading) -> Expr:
    try:
        parsed = latex2sympy(reading.spelled(text), is_real=not reading.is_complex, normalization_config=None)
    except MemoryError:
        raise
    except Exception as error:  # the parser raises all kinds on hostile text; none of it is ours
        raise Unreadable(text) from error
    if not isinstance(parsed, Expr):
        raise Unreadable(text)
    imaginary = {letter: I for letter in parsed.atoms(Symbol) if reading.is_complex and letter.name == "i"}
    spoken = parsed.replace(acot, lambda of: pi / 2 - atan(of)).xreplace(imaginary)  # arccotangent: from 0 to pi
    assert isinstance(spoken, Expr), spoken
    return spoken


def _agree(one: Expr, other: Expr) -> bool:
    """Exactly, where both are fractions of integers; else to 30 digits, but no fraction is an irrational number."""
    if one.is_Rational and other.is_Rational:
        return one == other
    if (one.is_Rational or other.is_Rational) and False in (one.is_rational, other.is_rational):
        return False
    left, right = one.evalf(DIGITS), other.evalf(DIGITS)
    return bool(abs(left - right) <= _AGREEING * max(abs(left), abs(right)))
