"""Points at which expressions are compared, and their values there: by real functions, or by complex ones.

A root or a logarithm of a negative number has no real value, and an odd root has a real one. So what holds wherever
both sides have a value is an identity: x is \\sqrt{x}^2, and \\sqrt{x^2} is |x|.
"""

from random import Random

from sympy import Expr, Integer, Pow, Rational, Symbol, acos, asin, log
from sympy.core.function import AppliedUndef

DIGITS = 50
_IMAGINARY = Rational(1, 10**40)
_BINDING = ("Sum", "Product", "Integral", "Limit", "Derivative")


def coordinate(at: int, name: str, *, is_whole: bool, is_positive: bool) -> Expr:
    """The coordinate of a letter at one of the five points. At two of them all are positive, at one negative; two lie
    within -1 and 1, so that no high or low powers hide the rest. Whole ones are even and odd in turn."""
    draw = Random(f"{at} {name}")
    if is_whole:
        return Integer(2 * draw.randint(1 + at, 4 + at) + at % 2)
    above, below = draw.randint(11, 99), draw.choice((7, 13, 17, 19))
    sign = 1 if is_positive else (1, -1, 1, -1, draw.choice((1, -1)))[at]
    return Rational(sign * below, above) if at in (1, 2) else Rational(sign * above, below)


def are_positive(gold: Expr) -> bool:
    """Whether the letters of a gold stand for positive numbers: it has an even root, a logarithm, or a power with a
    letter in its exponent, of something that changes with the sign of a letter."""
    bases = [of.args[0] for of in gold.atoms(log)]
    bases += [power.base for power in gold.atoms(Pow) if not isinstance(power.exp, Rational) or power.exp.q % 2 == 0]
    return any(base != base.xreplace({letter: -letter}) for base in bases for letter in base.atoms(Symbol))


def value_at(expression: Expr, point: dict[Symbol, Expr], *, is_real: bool) -> Expr | None:
    """The exact value at a point; None where it has none."""
    try:
        value = _real(expression, point) if is_real else expression.xreplace(point).doit()
        if not isinstance(value, Expr):
            return None
        number = value.evalf(DIGITS)
    except (ArithmeticError, AttributeError, NotImplementedError, TypeError, ValueError):
        return None
    if not (number.is_number and number.is_finite):
        return None
    return value if not is_real or abs(number.as_real_imag()[1]) < _IMAGINARY else None


def _real(expression: Expr, point: dict[Symbol, Expr]) -> Expr:
    """The value by real functions alone, from the innermost out. Raises ValueError where one has none."""
    if not expression.args:
        return point.get(expression, expression) if isinstance(expression, Symbol) else expression
    if isinstance(expression, AppliedUndef) or not isinstance(expression, Expr):
        raise ValueError(expression)
    if type(expression).__name__ in _BINDING:
        return expression.xreplace(point).doit()
    values = [_real(argument, point) for argument in expression.args if isinstance(argument, Expr)]
    if isinstance(expression, Pow):
        return _power(*values, is_root=isinstance(expression.exp, Rational))
    if isinstance(expression, log) and any(map(_is_negative, values)):
        raise ValueError(expression)
    if isinstance(expression, asin | acos) and _is_negative(1 - abs(values[0])):
        raise ValueError(expression)
    return expression.func(*values)


def _power(base: Expr, exponent: Expr, *, is_root: bool) -> Expr:
    if exponent.is_integer or not _is_negative(base):
        return Pow(base, exponent)
    if is_root and isinstance(exponent, Rational) and exponent.q % 2 == 1:
        return (-1) ** exponent.p * Pow(-base, exponent)
    raise ValueError(base, exponent)


def _is_negative(value: Expr) -> bool:
    return bool(value.is_negative if value.is_negative is not None else value.evalf(DIGITS) < 0)
