"""The readings of two texts that are compared by algebra, and their spelling for the parser; text alone, no algebra.

What a letter is, the gold decides: i is the imaginary unit, unless it counts; n is a whole number where the gold
rounds, alternates or counts. `\\log` is the natural logarithm or the common one, the same on both sides.
"""

import re
from dataclasses import dataclass

_SINGLE = re.compile(r"\\(?:text|mathrm) ?\{[^{}]*\}|_ ?(?:\{[^{}]*\}|[A-Za-z0-9])|\\[A-Za-z]+|[A-Za-z]")
_COUNTS = re.compile(
    r"\\(?:lfloor|lceil|sum|prod|gcd|lcm|binom)(?![A-Za-z])|!|\( ?- ?1 ?\) ?\^"
    r"|\\(?:sin|cos) ?\{?\(? ?(?:[k-nrp] ?\\pi|\\pi ?[k-nrp])"
)
_WHOLE = frozenset("klmnpqr")
_INDEX = re.compile(r"\\(?:sum|prod) ?_ ?\{ ?([a-z]) ?=")
_OPAQUE = re.compile(r"\\(gcd|lcm|det|dim|deg) ?(?:\(([^()]*)\)|([A-Za-z])(?![A-Za-z]))")
_PRODUCT = re.compile(r"(?<![\\A-Za-z])([A-Za-z]) ?\((?=[^()]{0,60}\1[^()]{0,60}\))")
_LOG_TO_E = re.compile(r"\\log ?_ ?(?:\{ ?e ?\}|e)")
_LOG = re.compile(r"\\log(?![A-Za-z])(?! ?_)")
_DECIMAL = re.compile(r"([0-9]*)\.([0-9]+)")  # exact, where the parser would make floating point of it
_DEGREES = re.compile(r"([0-9]+|\\frac\{[0-9]+\}\{[0-9]+\}) ?°")
_NO_LETTERS = re.compile(
    r"\\(?!alpha|beta|gamma|delta|theta|lambda|mu|nu|omega|varphi|phi|rho|sigma|tau|epsilon|xi|eta|kappa)[A-Za-z]+"
)
BINDING = re.compile(r"\\(?:sum|prod|int|lim)(?![A-Za-z])")
"""Operators that bind letters, which are then no variables of the text."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What letters and `\\log` stand for in both texts."""

    is_complex: bool
    whole: frozenset[str]
    log: str

    def spelled(self, text: str) -> str:
        """A tidy text as the parser reads it rightly: exact decimals, radians, functions of names as names."""
        for index in set(_INDEX.findall(text)):
            text = re.sub(rf"\\[A-Za-z]+|{index}", lambda token: "i" if len(token[0]) == 1 else token[0], text)
        text = _OPAQUE.sub(_name_of_call, _PRODUCT.sub(r"\1 \\cdot (", text))
        text = _LOG.sub(lambda _: self.log, _LOG_TO_E.sub(r"\\ln ", text))
        text = _DECIMAL.sub(lambda decimal: rf"\frac{{{decimal[1]}{decimal[2]}}}{{1{'0' * len(decimal[2])}}}", text)
        return _DEGREES.sub(r"(\1 \\cdot \\frac{\\pi}{180})", text)


def readings(gold: str, answer: str) -> list[Reading]:
    """The readings by which an answer may be the gold."""
    letters = {token[0] for text in (gold, answer) for token in _SINGLE.finditer(text)}
    is_complex = "i" in letters and not {"j", "k"} & letters and BINDING.search(gold) is None
    whole = _WHOLE if _COUNTS.search(gold) else frozenset()
    logs = (r"\ln ", r"\log_{10} ") if _LOG.search(gold + answer) else ("",)
    return [Reading(is_complex, whole, log) for log in logs]


def letters_of(text: str) -> set[str]:
    """The variables of a text. e and i may be numbers, so they are left to the values."""
    return set(re.findall(r"\\[A-Za-z]+|[A-Za-z]", _NO_LETTERS.sub(" ", text))) - {"e", "i"}


def _name_of_call(call: re.Match[str]) -> str:
    """A function of names, whose value nothing tells, as one name: \\gcd(m, n) is \\gcd(n, m)."""
    arguments = sorted(argument.strip() for argument in (call[2] or call[3]).split(","))
    if not any(character.isalpha() for character in "".join(arguments)):
        return call[0]
    return f" {call[1][0]}_{{{' '.join(arguments)}}} "
