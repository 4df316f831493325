"""Elementary functions in floating point. They raise ValueError, or ArithmeticError, where they have no value."""

import math
from collections.abc import Callable, Sequence

FUNCTIONS: dict[str, Callable[[float], float]] = {
    **{rf"\{name}": getattr(math, name) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{rf"\arc{name}": getattr(math, f"a{name}") for name in ("sin", "cos", "tan")},
    **{r"\cot": lambda angle: 1 / math.tan(angle), r"\sec": lambda angle: 1 / math.cos(angle)},
    **{r"\csc": lambda angle: 1 / math.sin(angle), r"\ln": math.log},
}
OF_INTEGERS: dict[str, Callable[..., int]] = {r"\gcd": math.gcd, r"\lcm": math.lcm}
OF_SEVERAL: dict[str, Callable[[Sequence[float]], float]] = {r"\max": max, r"\min": min}


def real(value: complex) -> float:
    if value.imag:
        raise ValueError(f"{value} is not real")
    return value.real


def whole(value: complex, most: int = 10**15) -> int:
    number = real(value)
    if number != int(number) or not 0 <= number <= most:
        raise ValueError(f"{value} is no number that can be counted")
    return int(number)


def factorial(value: float) -> complex:
    return float(math.factorial(whole(value, most=170)))


def raised(base: complex, exponent: complex) -> complex:
    if base.imag or exponent.imag:
        return complex(base) ** exponent
    if base.real < 0 and exponent.real != int(exponent.real):
        raise ValueError("no real power")
    return base**exponent


def root(value: complex, degree: complex) -> complex:
    number, order = real(value), real(degree)
    is_odd = order == int(order) and int(order) % 2 == 1
    return -((-number) ** (1 / order)) if number < 0 and is_odd else raised(number, 1 / order)
