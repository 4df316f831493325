r"""The value of an expression without letters, in floating point: for order and for agreement, never for right.

    sum      = term (("+" | "-") term)*
    term     = power (("*" | "/" | nothing) power)*
    power    = atom ("!" | "°" | "%")* ["^" exponent]
    atom     = number | \pi | e | i | (sum) | |sum| | \frac{sum}{sum} | \sqrt[n]{sum} | \binom{}{} | function power

Nothing is computed that could grow: floats overflow to "no value", and so does the factorial of more than 170.
"""

import cmath
import math
import re
from collections.abc import Callable
from itertools import product

from paring.verifier.choices import with_binomials
from paring.verifier.elementary import FUNCTIONS, OF_INTEGERS, OF_SEVERAL, factorial, raised, real, root, whole
from paring.verifier.progressions import all_terms

MOST_TOKENS = 100
_TOKEN = re.compile(r" *(\\[A-Za-z]+|[0-9]+(?:\.[0-9]*)?|\.[0-9]+|[-+*/^!()\[\]{}|,%°_&ei])")
_TIMES, _DIVIDED, _MODULO = ("*", r"\cdot", r"\times"), ("/", r"\div"), (r"\bmod", r"\mod")
_CLOSING = {"(": ")", "[": "]", "{": "}", "|": "|", r"\lfloor": r"\rfloor", r"\lceil": r"\rceil"}
_ROUNDED = {r"\lfloor": math.floor, r"\lceil": math.ceil}
_PLAIN = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_TEXT = re.compile(r"\\text\{[^{}]*\}")
_MATRIX = re.compile(r"(?:\\begin ?\{v|\\det ?\(? ?\\begin ?\{[pb])matrix\}(.*)\\end ?\{[vpb]matrix\} ?\)?")
_TIMES_WRITTEN = re.compile(r"(?<=[0-9)]) x (?=[0-9(])")
_CURRENCY = re.compile("[$€£¥₹]")


def closed_value(text: str) -> float | None:
    """The real value of a tidy text, or None: it has letters, is no number, or is too large."""
    return next((value for value in map(_without_imaginary, _values(text, math.log)) if value is not None), None)


def _values(text: str, log: Callable[[float], float]) -> list[complex]:
    """The values that a tidy text may have: a series may go on in two ways. `log` is what `\\log` is."""
    text = with_binomials(re.sub(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))", "", text))
    if r"\ldots" not in text:
        value = _value(text, log)
        return [] if value is None else [value]
    is_sum, ways = all_terms(text)
    found = [[_value(term, log) for term in way] for way in ways]
    known = [[value for value in way if value is not None] for way in found]
    complete = [way for way, some in zip(known, found, strict=True) if len(way) == len(some)]
    return [value for way in complete if cmath.isfinite(value := sum(way) if is_sum else math.prod(way))]


def _value(text: str, log: Callable[[float], float]) -> complex | None:
    text = _TIMES_WRITTEN.sub("*", _CURRENCY.sub("", text))
    if matrix := _MATRIX.fullmatch(text.strip()):
        return _determinant([[_value(cell, log) for cell in row.split("&")] for row in matrix[1].split(r"\cr")])
    tokens, end = [], 0
    for token in _TOKEN.finditer(text):
        if token.start() != end or len(tokens) == MOST_TOKENS:
            return None
        tokens.append(token[1])
        end = token.end()
    if text[end:].strip() or not tokens:
        return None
    reader = _Reader(tokens, log)
    try:
        value = reader.sum()
    except (ArithmeticError, ValueError):
        return None
    return value if reader.at == len(tokens) and cmath.isfinite(value) else None


def is_near(one: str, other: str, is_rounded: bool) -> bool:
    r"""Whether two tidy texts have one value, or, rounded, one that rounds to the digits of the other. `\log` may be
    the natural or the common logarithm."""
    places = [len(text.partition(".")[2]) for text in (one, other) if _PLAIN.fullmatch(text)]
    step = 0.5 * 10.0 ** -min(places) if is_rounded and places else 0.0
    for log in (math.log, math.log10):
        both = [_values(_TEXT.sub("", text), log) for text in (one, other)]
        if any(abs(left - right) <= max(step, 1e-9 * abs(left)) + 1e-12 for left, right in product(*both)):
            return True
    return False


def _without_imaginary(value: complex) -> float | None:
    return value.real if abs(value.imag) <= 1e-12 * abs(value) else None


class _Reader:
    """Tokens from left to right. Raises ValueError where they are no expression, ArithmeticError without a value."""

    def __init__(self, tokens: list[str], log: Callable[[float], float]):
        self.tokens, self.log, self.at = tokens, log, 0

    @property
    def next(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def took(self, *tokens: str) -> bool:
        is_there = self.next in tokens
        self.at += is_there
        return is_there

    def sum(self) -> complex:
        self.took("+")
        value = -self.term() if self.took("-") else self.term()
        while self.next in ("+", "-"):
            sign = -1 if self.took("-") else 1
            self.took("+")
            value += sign * self.term()
        return value

    def term(self) -> complex:
        value = self.power()
        while self.next and self.next not in ("+", "-", ",", *_CLOSING.values()):
            if self.took(*_DIVIDED):
                value /= self.signed()
            elif self.took(*_MODULO):
                value = real(value) % whole(self.signed())
            else:
                value *= self.signed() if self.took(*_TIMES) else self.factor()
        return value

    def factor(self) -> complex:
        if self.next[0].isdigit() and self.tokens[self.at - 1][-1].isdigit():
            raise ValueError("two numbers side by side are no product")
        return self.power()

    def signed(self) -> complex:
        return -self.signed() if self.took("-") else self.power()

    def power(self) -> complex:
        value = self.atom()
        while self.next in ("!", "°", "%"):
            mark = self.next
            self.at += 1
            value = {"!": factorial, "°": math.radians, "%": lambda number: number / 100}[mark](real(value))
        return raised(value, self.group()) if self.took("^") else value

    def group(self) -> complex:
        """The sum between braces, or the one token that stands without them."""
        return self.between("{", "}") if self.took("{") else self.signed()

    def between(self, opening: str, closing: str) -> complex:
        value = self.sum()
        if not self.took(closing):
            raise ValueError(f"{opening} is not closed")
        return value

    def several(self) -> list[complex]:
        if not self.took("("):
            raise ValueError("no arguments")
        values = [self.sum()]
        while self.took(","):
            values.append(self.sum())
        if not self.took(")"):
            raise ValueError("( is not closed")
        return values

    def atom(self) -> complex:
        token = self.next
        self.at += 1
        if token[:1].isdigit() or token[:1] == ".":
            return float(token)
        if token in _CLOSING:
            value = self.between(token, _CLOSING[token])
            return abs(value) if token == "|" else _ROUNDED[token](real(value)) if token in _ROUNDED else value
        if token in FUNCTIONS:
            return self.function(FUNCTIONS[token], inverse=FUNCTIONS.get(r"\arc" + token[1:]))
        if token in OF_INTEGERS:
            return float(OF_INTEGERS[token](*map(whole, self.several())))
        if token in OF_SEVERAL:
            return OF_SEVERAL[token]([*map(real, self.several())])
        match token:
            case r"\pi":
                return math.pi
            case "e":
                return math.e
            case "i":
                return 1j
            case r"\frac":
                return self.group() / self.group()
            case r"\binom":
                return float(math.comb(whole(self.group(), most=1000), whole(self.group(), most=1000)))
            case r"\sqrt":
                degree = self.between("[", "]") if self.took("[") else 2.0
                return root(self.group(), degree)
            case r"\log":
                base = self.group() if self.took("_") else None
                return self.function(
                    self.log if base is None else lambda number: math.log(number) / math.log(real(base))
                )
        raise ValueError(f"{token} has no value")

    def function(self, function: Callable[[float], float], inverse: Callable[[float], float] | None = None) -> complex:
        exponent = self.group() if self.took("^") else 1.0
        if exponent == -1 and inverse is not None:
            return inverse(real(self.argument()))
        return raised(function(real(self.argument())), exponent)

    def argument(self) -> complex:
        """What a function is of: the factors up to the next sign or function."""
        value = self.power()
        while self.next and (self.next[0].isdigit() or self.next in (r"\pi", r"\frac", r"\sqrt")):
            value *= self.power()
        return value


def _determinant(rows: list[list[complex | None]]) -> complex | None:
    cells = [[cell for cell in row if cell is not None] for row in rows]
    if len(cells) > 4 or any(len(row) != len(cells) for row in cells):
        return None
    return _expanded(cells)


def _expanded(rows: list[list[complex]]) -> complex:
    if not rows:
        return 1.0
    minors = ([row[:at] + row[at + 1 :] for row in rows[1:]] for at in range(len(rows)))
    return sum((-1) ** at * rows[0][at] * _expanded(minor) for at, minor in enumerate(minors))
