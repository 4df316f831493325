r"""Sums and products whose middle is left out, as in `1 + 2 + \ldots + 100`: all their terms.

Terms are alike but for their numbers. Each number goes on by the same step, or, if it is the only one, by the same
factor.
"""

import re
from fractions import Fraction

from paring.verifier.latex import split_outside

MOST_TERMS, MOST_OF_FORMULAS = 1000, 100
_LONGEST_TERM = 60
_SUM, _PRODUCT = re.compile(r"\+"), re.compile(r"\\(?:cdot|times)(?![A-Za-z])|\*")
_NUMBER = re.compile(r"[0-9]{1,9}")
Numbers = tuple[int, ...]
"""Those of one term."""


def all_terms(text: str) -> tuple[bool, list[list[str]]]:
    """Whether a tidy text is a sum, not a product, and the ways to go on from its first terms to its last, each with
    all the terms; none if it is no series, or one of too many terms."""
    is_sum = len(split_outside(text, _SUM)) > 1
    before, _, after = text.partition(r"\ldots ")
    sign = _SUM if is_sum else _PRODUCT
    terms = [[term for term in split_outside(part, sign) if term] for part in (before, after)]
    shapes = {_NUMBER.sub("#", term) for part in terms for term in part}
    if not terms[0] or len(terms[1]) != 1 or len(shapes) != 1:
        return is_sum, []
    shape = shapes.pop()
    *first, last = [tuple(map(int, _NUMBER.findall(term))) for part in terms for term in part]
    if not last or len(shape) > _LONGEST_TERM:
        return is_sum, []
    most = MOST_TERMS if shape == "#" else MOST_OF_FORMULAS
    ways = [way for way in (_by_steps(first, last, most), _by_factors(first, last)) if len(way) > len(first)]
    return is_sum, [
        [_filled(shape, numbers) for numbers in way] for way in ways if way[: len(first)] == first and way[-1] == last
    ]


def _by_steps(first: list[Numbers], last: Numbers, most: int) -> list[Numbers]:
    """The terms of which each number goes on by its own step; by one, where a single term tells no step."""
    start = first[0]
    second = (
        first[1] if len(first) > 1 else [one + (end > one) - (end < one) for one, end in zip(start, last, strict=True)]
    )
    steps = [after - before for before, after in zip(start, second, strict=True)]
    counts = {Fraction(end - one, step) for one, end, step in zip(start, last, steps, strict=True) if step}
    if len(counts) != 1 or not 0 < (count := counts.pop()) < most or count.denominator > 1:
        return []
    return [tuple(one + at * step for one, step in zip(start, steps, strict=True)) for at in range(int(count) + 1)]


def _by_factors(first: list[Numbers], last: Numbers) -> list[Numbers]:
    """The terms of a single number that goes on by a factor."""
    if len(last) > 1 or len(first) < 2 or first[0] == (0,):
        return []
    start, second = first[0][0], first[1][0]
    factor, powers = Fraction(second, start), [Fraction(start)]
    while powers[-1] not in last and len(powers) < 32:  # numbers have nine digits at most
        powers.append(powers[-1] * factor)
    return [(int(power),) for power in powers if power.denominator == 1]


def _filled(shape: str, numbers: Numbers) -> str:
    pieces = shape.split("#")
    return pieces[0] + "".join(f"{number}{piece}" for number, piece in zip(numbers, pieces[1:], strict=True))
