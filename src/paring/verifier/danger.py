"""Refused before any parser sees it: text that would take a parser or a number too much time or memory."""

import re

from paring.verifier.integers import MOST_DIGITS
from paring.verifier.latex import closings

MOST_CHARACTERS = 2000
MOST_ALGEBRA = 400
"""Characters of one expression. The longest in a gold of the benchmarks has 62."""
MOST_NESTING = 32
MOST_ELEMENTS = 100
MOST_GROWTH = 20_000
"""Exponents that multiply may not come to more: 9^{20000} has 19,085 digits."""
_GROWTH_OF_FACTORIAL = 100
_LONGEST_DIGITS = re.compile(rf"[0-9]{{{MOST_DIGITS + 1}}}")
_UNBOUNDED = re.compile(
    r"\\(?:coprod|iint|iiint|oint|limsup|liminf|bigcup|bigcap|uparrow|Uparrow|underbrace|overbrace|partial|nabla|zeta|Gamma"
    r"|input|def|newcommand|let)(?![A-Za-z])|\*\*|!!|! ?\^|\^ ?\^|(?:[-+] ?){8}"
)
_OPERATOR = re.compile(r"\\(sum|prod|int|lim|mod|bmod|pmod|gcd|lcm|det|dim|deg)(?![A-Za-z])")
_FACTORIAL_OF_MANY = re.compile(r"[0-9][0-9,]{4,} ?!|\. ?[0-9]+ ?!")
_MANY_DIGITS = re.compile(r"[0-9][0-9,]{4,}")
_TOWER = re.compile(
    r" ?\^ ?\{ ?[0-9]{1,2} ?\^ ?(?:[a-z]|\{ ?(?:[0-9]{1,2} ?)?[a-z](?: ?[-+] ?[0-9]{1,2})? ?\})"
    r" ?(?:[-+] ?[0-9]{1,3})? ?\}"
)
"""A number to the power of a letter in an exponent, as in 2^{2^n}."""
_POWER_OR_FACTORIAL = re.compile(r" ?\^ ?| ?!")
_BINOMIAL = re.compile(r"\\binom|[CPA] ?_")


def is_bulky(text: str) -> bool:
    """Whether an answer is too long, nested too deeply, or holds a number of too many digits or too many elements."""
    if len(text) > MOST_CHARACTERS or _LONGEST_DIGITS.search(text.replace(",", "")):
        return True
    if text.count(",") + text.count(";") + text.count("\\\\") > MOST_ELEMENTS:
        return True
    depth = 0
    for bracket in re.findall(r"[(\[{]|[)\]}]", text):
        depth += 1 if bracket in "([{" else -1
        if depth > MOST_NESTING:
            return True
    return False


def operators(text: str) -> frozenset[str]:
    """What an answer may have only where the gold has it: a sum, a product, an integral, a limit, a divisor, a power
    with a letter in an exponent. It may take long, but then the gold asks for it."""
    towers = {"tower"} if _TOWER.search(text) else set()
    return frozenset({*_OPERATOR.findall(text), *towers})


def explodes(text: str) -> bool:
    """Whether a computer algebra system might work for long on this tidy text: it is long, or has a power of numbers in
    an exponent, exponents that multiply to five digits, a factorial of five digits or of a factorial."""
    if len(text) > MOST_ALGEBRA or _UNBOUNDED.search(text) or _FACTORIAL_OF_MANY.search(text):
        return True
    if _BINOMIAL.search(text) and _MANY_DIGITS.search(text):
        return True
    closing = closings(text)
    opening = {end: start for start, end in closing.items()}
    growth: dict[int, int] = {}
    for operator in _POWER_OR_FACTORIAL.finditer(text):
        base = range(opening.get(operator.start() - 1, operator.start() - 1), operator.start())
        within = max((grown for at, grown in growth.items() if at in base), default=1)
        if operator[0] == "!":
            if len(base) > 1 and "!" in text[base.start : base.stop]:
                return True
            growth[operator.start()] = within * _GROWTH_OF_FACTORIAL
            continue
        start = operator.end()
        exponent = text[start : closing.get(start, start) + 1]
        # A factorial, a number to a power, or three storeys of anything.
        if re.match(r" ?\^", text[max(start + len(exponent), start + 1) :]):
            return True
        has_tower = re.search(r"[0-9)}\]] ?\^", exponent) is not None and _TOWER.match(text, operator.start()) is None
        if "!" in exponent or has_tower or exponent.count("^") > 1:
            return True
        growth[operator.start()] = within * max(map(int, re.findall("[0-9]+", exponent)), default=1)
    return max(growth.values(), default=1) > MOST_GROWTH
