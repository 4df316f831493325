r"""The value of an expression without letters, in floating point: for order and for agreement, never for right.

    sum      = term (("+" | "-") term)*
    term     = power (("*" | "/" | nothing) power)*
    power    = atom ("!" | "°" | "%")* ["^" exponent]
    atom     = number | \pi | e | (sum) | |sum| | \frac{sum}{sum} | \sqrt[n]{sum} | \binom{}{} | function power

Nothing is computed that could grow: floats overflow to "no value", and so does the factorial of more than 170.
"""

import math
import re
from collections.abc import Callable, Sequence

MOST_TOKENS = 100
_TOKEN = re.compile(r" *(\\[A-Za-z]+|[0-9]+(?:\.[0-9]*)?|\.[0-9]+|[-+*/^!()\[\]{}|,%°_&e])")
_TIMES, _DIVIDED, _MODULO = ("*", r"\cdot", r"\times"), ("/", r"\div"), (r"\bmod", r"\mod")
_FUNCTIONS: dict[str, Callable[[float], float]] = {
    **{rf"\{name}": getattr(math, name) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{rf"\arc{name}": getattr(math, f"a{name}") for name in ("sin", "cos", "tan")},
    **{r"\cot": lambda angle: 1 / math.tan(angle), r"\sec": lambda angle: 1 / math.cos(angle)},
    **{r"\csc": lambda angle: 1 / math.sin(angle), r"\ln": math.log},
}
_OF_INTEGERS: dict[str, Callable[..., int]] = {r"\gcd": math.gcd, r"\lcm": math.lcm}
_OF_SEVERAL: dict[str, Callable[[Sequence[float]], float]] = {r"\max": max, r"\min": min}
_CLOSING = {"(": ")", "[": "]", "{": "}", "|": "|", r"\lfloor": r"\rfloor", r"\lceil": r"\rceil"}
_ROUNDED = {r"\lfloor": math.floor, r"\lceil": math.ceil, "|": abs}
_PLAIN = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_TEXT = re.compile(r"\\text\{[^{}]*\}")
_MATRIX = re.compile(r"(?:\\begin ?\{v|\\det ?\(? ?\\begin ?\{[pb])matrix\}(.*)\\end ?\{[vpb]matrix\} ?\)?")
_NUMBER = r" ?(?:\{ ?([0-9]{1,4}) ?\}|([0-9]{1,4}))"
_CHOSEN = re.compile(
    rf"(?:\{{ ?\}} ?)?[\^_]{_NUMBER} ?([CPA]) ?_{_NUMBER}|([CPA]) ?_{_NUMBER} ?\^{_NUMBER}"
    r"|([CPA]) ?\^ ?([0-9]) ?_ ?\{? ?([0-9]{1,4}) ?\}?|(?<![0-9])([0-9]{1,4}) ?([CP]) ?([0-9]{1,4})(?![0-9])"
)
"""^5C_2, C_5^2, C^2_5, 5C2: two of five chosen; P and A: in order."""


def closed_value(text: str, *, log: Callable[[float], float] = math.log) -> float | None:
    r"""The value of a tidy text, or None: it has letters, is no number, or is too large. `log` is what `\log` is."""
    text = _CHOSEN.sub(_counted, re.sub(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))", "", text))
    if matrix := _MATRIX.fullmatch(text.strip()):
        return _determinant(
            [[closed_value(cell, log=log) for cell in row.split("&")] for row in matrix[1].split(r"\cr")]
        )
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
    return value if reader.at == len(tokens) and math.isfinite(value) else None


def _counted(chosen: re.Match[str]) -> str:
    """The binomial, or the number of arrangements, that a number of choices is."""
    kind, *numbers = sorted(filter(None, chosen.groups()), key=str.isdigit)
    of, some = reversed(numbers) if re.match(r"[CPA] ?\^", chosen[0]) else numbers
    return rf"\frac{{{of}!}}{{({of} - {some})!}}" if kind in "PA" else rf"\binom{{{of}}}{{{some}}}"


def is_near(one: str, other: str, is_rounded: bool) -> bool:
    r"""Whether two tidy texts have one value, or, rounded, one that rounds to the digits of the other. `\log` may be
    the natural or the common logarithm."""
    places = [len(text.partition(".")[2]) for text in (one, other) if _PLAIN.fullmatch(text)]
    step = 0.5 * 10.0 ** -min(places) if is_rounded and places else 0.0
    for log in (math.log, math.log10):
        left, right = (closed_value(_TEXT.sub("", text), log=log) for text in (one, other))
        if left is not None and right is not None and abs(left - right) <= max(step, 1e-9 * abs(left)) + 1e-12:
            return True
    return False


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

    def sum(self) -> float:
        self.took("+")
        value = -self.term() if self.took("-") else self.term()
        while self.next in ("+", "-"):
            sign = -1 if self.took("-") else 1
            self.took("+")
            value += sign * self.term()
        return value

    def term(self) -> float:
        value = self.power()
        while self.next and self.next not in ("+", "-", ",", *_CLOSING.values()):
            if self.took(*_DIVIDED):
                value /= self.signed()
            elif self.took(*_MODULO):
                value %= _whole(self.signed())
            else:
                value *= self.signed() if self.took(*_TIMES) else self.factor()
        return value

    def factor(self) -> float:
        if self.next[0].isdigit() and self.tokens[self.at - 1][-1].isdigit():
            raise ValueError("two numbers side by side are no product")
        return self.power()

    def signed(self) -> float:
        return -self.signed() if self.took("-") else self.power()

    def power(self) -> float:
        value = self.atom()
        while self.next in ("!", "°", "%"):
            mark = self.next
            self.at += 1
            value = {"!": _factorial, "°": math.radians, "%": lambda number: number / 100}[mark](value)
        return _raised(value, self.group()) if self.took("^") else value

    def group(self) -> float:
        """The sum between braces, or the one token that stands without them."""
        return self.between("{", "}") if self.took("{") else self.signed()

    def between(self, opening: str, closing: str) -> float:
        value = self.sum()
        if not self.took(closing):
            raise ValueError(f"{opening} is not closed")
        return value

    def several(self) -> list[float]:
        if not self.took("("):
            raise ValueError("no arguments")
        values = [self.sum()]
        while self.took(","):
            values.append(self.sum())
        if not self.took(")"):
            raise ValueError("( is not closed")
        return values

    def atom(self) -> float:
        token = self.next
        self.at += 1
        if token[:1].isdigit() or token[:1] == ".":
            return float(token)
        if token in _CLOSING:
            value = self.between(token, _CLOSING[token])
            return _ROUNDED[token](value) if token in _ROUNDED else value
        if token in _FUNCTIONS:
            return self.function(_FUNCTIONS[token], inverse=_FUNCTIONS.get(r"\arc" + token[1:]))
        if token in _OF_INTEGERS:
            return float(_OF_INTEGERS[token](*map(_whole, self.several())))
        if token in _OF_SEVERAL:
            return _OF_SEVERAL[token](self.several())
        match token:
            case r"\pi":
                return math.pi
            case "e":
                return math.e
            case r"\frac":
                return self.group() / self.group()
            case r"\binom":
                return float(math.comb(_whole(self.group(), most=1000), _whole(self.group(), most=1000)))
            case r"\sqrt":
                degree = self.between("[", "]") if self.took("[") else 2.0
                return _root(self.group(), degree)
            case r"\log":
                base = self.group() if self.took("_") else None
                return self.function(self.log if base is None else lambda number: math.log(number) / math.log(base))
        raise ValueError(f"{token} has no value")

    def function(self, function: Callable[[float], float], inverse: Callable[[float], float] | None = None) -> float:
        exponent = self.group() if self.took("^") else 1.0
        if exponent == -1 and inverse is not None:
            return inverse(self.argument())
        return _raised(function(self.argument()), exponent)

    def argument(self) -> float:
        """What a function is of: the factors up to the next sign or function."""
        value = self.power()
        while self.next and (self.next[0].isdigit() or self.next in (r"\pi", r"\frac", r"\sqrt")):
            value *= self.power()
        return value


def _whole(value: float, most: int = 10**15) -> int:
    if value != int(value) or not 0 <= value <= most:
        raise ValueError(f"{value} is no number that can be counted")
    return int(value)


def _factorial(value: float) -> float:
    return float(math.factorial(_whole(value, most=170)))


def _raised(base: float, exponent: float) -> float:
    if base < 0 and exponent != int(exponent):
        raise ValueError("no real power")
    return base**exponent


def _root(value: float, degree: float) -> float:
    is_odd = degree == int(degree) and int(degree) % 2 == 1
    return -((-value) ** (1 / degree)) if value < 0 and is_odd else _raised(value, 1 / degree)


def _determinant(rows: list[list[float | None]]) -> float | None:
    cells = [[cell for cell in row if cell is not None] for row in rows]
    if len(cells) > 4 or any(len(row) != len(cells) for row in cells):
        return None
    return _expanded(cells)


def _expanded(rows: list[list[float]]) -> float:
    if not rows:
        return 1.0
    minors = ([row[:at] + row[at + 1 :] for row in rows[1:]] for at in range(len(rows)))
    return sum((-1) ** at * rows[0][at] * _expanded(minor) for at, minor in enumerate(minors))
