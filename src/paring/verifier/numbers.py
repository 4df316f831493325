"""Read an answer as one exact number: integers, decimals, fractions, mixed and scientific numbers, with their units."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from paring.verifier.integers import MOST_DIGITS
from paring.verifier.latex import closings
from paring.verifier.units import Suffix, read_suffix

MOST_CHARACTERS = 2 * MOST_DIGITS + 200
_CURRENCY = (
    r"(?:[A-Z]{0,2}[$€£¥₹]|(?:\\text\{ ?)?(?:Rs\.?|USD|EUR|GBP|INR|CNY|RMB|JPY|CAD|AUD|CHF)(?![A-Za-z])(?: ?\})?)"
)
_SIGN = re.compile(rf"([-+]?) ?(?:{_CURRENCY} ?)?([-+]?)")
_SPACE = re.compile(r" ?([{}^/*]|\\(?:times|cdot|frac|overline|dot)(?![A-Za-z])) ?")
_IN_THREES = r"[1-9][0-9]{0,2}(?:(?:,[0-9]{3})+(?![0-9,])|(?: [0-9]{3})+(?![0-9]))"
_UNSIGNED = rf"(?:{_IN_THREES}|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+"
_DECIMAL = rf"({_UNSIGNED})"
_SIGNED = rf"([-+]?(?:{_UNSIGNED}))"
_TEN = r"10\^(?:\{([-+]?[0-9]{1,4})\}|([0-9]))"
_END = re.compile(r"(?![0-9^_!]|/(?! ?\\text))")


@dataclass(frozen=True, slots=True)
class Number:
    """An exact number as written, what stands after it, and what both mean together."""

    written: Fraction
    suffix: Suffix

    @property
    def value(self) -> Fraction:
        return self.written * self.suffix.scale / (100 if self.suffix.percent else 1)


_NO_SUFFIX = Suffix()


@lru_cache(maxsize=4096)
def read_number(text: str) -> Number | None:
    """The number that the whole of a tidy text writes, exactly; None for everything else.

    No arithmetic is done: 2+3, 2^{10} and \\sqrt{4} are no numbers here. Numbers of more than 400 digits are none.
    """
    if not text or len(text) > MOST_CHARACTERS:
        return None
    if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS:
        return Number(Fraction(int(text)), _NO_SUFFIX)
    if text[0] == "(" and closings(text).get(0) == len(text) - 1:
        text = text[1:-1].strip()
    text = _SPACE.sub(r"\1", text)
    sign = _SIGN.match(text)
    assert sign is not None  # it may be empty
    for pattern, value_of in _FORMS:
        form = pattern.match(text, sign.end())
        if form and _END.match(text, form.end()):
            longest = max(map(len, re.findall("[0-9]+", form[0].replace(",", ""))), default=0)
            value = value_of(*form.groups()) if longest <= MOST_DIGITS else None
            suffix = read_suffix(text[form.end() :])
            if value is None or suffix is None or (sign[1] and sign[2]):
                return None
            return Number(-value if "-" in (sign[1], sign[2]) else value, suffix)
    return None


def same_number(gold: Number, answer: Number) -> bool:
    """Whether two numbers are one answer, by the policy of docs/verifier.md for percent signs, units and scales."""
    if gold.suffix.unit and answer.suffix.unit and gold.suffix.unit != answer.suffix.unit:
        return False
    if answer.suffix.is_class:
        return gold.suffix.is_class and (gold.value - answer.value) % int(gold.suffix.unit.removeprefix("mod ")) == 0
    if gold.value == answer.value:
        return True
    if gold.suffix.percent and not answer.suffix.percent:
        return answer.suffix.scale == 1 and answer.value == gold.written
    if gold.suffix.percent or gold.suffix.scale > 1 or gold.written != answer.written:
        return False
    # Where the question is in per cent, or in thousands, what the answer adds is a unit.
    is_count = gold.value.denominator == 1 and abs(gold.value) > 1
    return is_count if answer.suffix.percent else answer.suffix.scale > 1


def _decimal(text: str) -> Fraction:
    return Fraction(text.replace(",", "").replace(" ", "").removesuffix("."))


def _ratio(above: str, below: str) -> Fraction | None:
    divisor = _decimal(below)
    return _decimal(above) / divisor if divisor else None


def _mixed(whole: str, plus: str | None, above: str, below: str) -> Fraction | None:
    """A mixed number, with its plus sign or without; 1 + 5/4 is work left undone."""
    part = _ratio(above, below)
    return None if part is None or (plus and part >= 1) else int(whole) + part


def _scientific(factor: str | None, power: str | None, digit: str | None = None) -> Fraction | None:
    exponent = int(power or digit or "0")
    return _decimal(factor or "1") * Fraction(10) ** exponent if abs(exponent) <= MOST_DIGITS else None


def _repeating(whole: str, fixed: str, period: str) -> Fraction:
    start = Fraction(int(whole + fixed or "0"), 10 ** len(fixed))
    return start + Fraction(int(period), 10 ** len(fixed) * (10 ** len(period) - 1))


def _dotted(whole: str, fixed: str, first: str, between: str, last: str) -> Fraction:
    return _repeating(whole, fixed, first + between + last)


def _chinese_ratio(below: str, above: str) -> Fraction | None:
    divisor, divided = _chinese(below), _chinese(above)
    return divided / divisor if divisor and divided is not None else None


def _chinese(text: str) -> Fraction | None:
    """Digits, or Chinese numerals up to a hundred."""
    if text[0] in "0123456789":
        return Fraction(text) if re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", text) else None
    if text == "百":
        return Fraction(100)
    tens, ten, ones = text.rpartition("十")
    digits = (tens or ("一" if ten else "零"), ones or "零")
    if any(len(digit) > 1 for digit in digits):
        return None
    return Fraction(10 * _CHINESE_DIGITS.index(digits[0]) + _CHINESE_DIGITS.index(digits[1]))


_CHINESE_DIGITS = "零一二三四五六七八九"
_CHINESE_NUMBER = "百|[零一二三四五六七八九十]{1,3}|[0-9]{1,9}"
# Tried in this order: the longer form first where one begins like another.
_FORMS: list[tuple[re.Pattern[str], Callable[..., Fraction | None]]] = [
    (re.compile(r"([0-9]+) ?(\+?) ?\\frac\{([0-9]+)\}\{([0-9]+)\}"), _mixed),
    (re.compile(r"([0-9]+)(?: | ?(\+) ?)([0-9]+)/([0-9]+)"), _mixed),
    (re.compile(rf"\\frac\{{{_SIGNED}\}}\{{{_SIGNED}\}}"), _ratio),
    (re.compile(rf"{_DECIMAL}/{_SIGNED}"), _ratio),
    (re.compile(rf"\({_SIGNED}\)/\({_SIGNED}\)"), _ratio),
    (re.compile(rf"(?:{_DECIMAL} ?(?:\\times|\\cdot|[*x]) ?)?{_TEN}"), _scientific),
    (re.compile(rf"{_DECIMAL}[eE]([-+]?[0-9]{{1,4}})(?![A-Za-z])"), _scientific),
    (re.compile(r"([0-9]*)\.([0-9]*)\\(?:overline|dot)\{([0-9]+)\}"), _repeating),
    (re.compile(r"([0-9]*)\.([0-9]*)\(([0-9]+)\)$"), _repeating),
    (re.compile(r"([0-9]*)\.([0-9]{0,9}?)([0-9]{1,6}?)\3{2,}(?:\\ldots ?|\.\.\.)$"), _repeating),
    (re.compile(r"([0-9]*)\.([0-9]*)\\dot\{([0-9])\}([0-9]*)\\dot\{([0-9])\}"), _dotted),
    (re.compile(rf"({_CHINESE_NUMBER})分之({_CHINESE_NUMBER}|[0-9]+\.[0-9]+)"), _chinese_ratio),
    (re.compile(r"(?:\\text\{ ?)?([0-9]+) ?(?:\\text\{ ?)?(?:out of|in)(?: ?\})? ?([1-9][0-9]*)(?: ?\})?$"), _ratio),
    (re.compile(_DECIMAL), _decimal),
]
