"""Sets of real numbers: intervals, unions and inequalities as one list of pieces."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from paring.verifier.golds import SEPARATOR, in_braces, in_brackets
from paring.verifier.latex import split_outside

T = TypeVar("T")
_CUP = re.compile(r"\\cup(?![A-Za-z])")
_OR = re.compile(r"\\lor ")
_RELATION = re.compile(r"\\(?:le|ge|ne)(?![A-Za-z]) ?|[<>]=?")
_BELONGS = re.compile(r"[A-Za-z] ?\\in ?")
_ALL = re.compile(r"\\mathbb\{R\}")
_CONDITION = re.compile(r"[A-Za-z] ?(?:\\in ?\\mathbb\{R\} ?)?[|:] ?")
_SIGNS = {r"\le": "<=", r"\ge": ">=", r"\ne": "!="}
_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "!=": "!="}
LEAST, GREATEST = "-infinity", "infinity"
_INFINITIES = {r"\infty": GREATEST, r"+\infty": GREATEST, r"-\infty": LEAST}


@dataclass(frozen=True, slots=True)
class Piece:
    """An interval, as texts: where it starts and ends, and whether the ends belong to it."""

    start: str
    end: str
    has_start: bool
    has_end: bool


def real_set(text: str) -> list[Piece] | None:
    """The pieces of a set of reals: brackets, unions, single points, bounds of one letter; None for everything else."""
    text = text[belongs.end() :] if (belongs := _BELONGS.match(text)) else text
    inner = in_braces(text)
    if inner is not None and (condition := _CONDITION.match(inner)):
        text = inner[condition.end() :]
    pieces: list[Piece] = []
    for part in split_outside(text, re.compile(rf"{_CUP.pattern}|{_OR.pattern}")):
        read = _read(part)
        if read is None:
            return None
        pieces += read
    return pieces


def matched(gold: Iterable[T], answer: Iterable[T], *tests: Callable[[T, T], bool]) -> bool:
    """Whether both hold the same members in any order: each takes the first twin by the first test that finds one."""
    left = list(answer)
    for member in gold:
        twin = next((other for is_twin in tests for other in left if is_twin(member, other)), None)
        if twin is None:
            return False
        left.remove(twin)
    return not left


def same_piece(gold: Piece, answer: Piece, same: Callable[[str, str], bool]) -> bool:
    if (gold.has_start, gold.has_end) != (answer.has_start, answer.has_end):
        return False
    ends = ((gold.start, answer.start), (gold.end, answer.end))
    if any((one in (LEAST, GREATEST) or other in (LEAST, GREATEST)) and one != other for one, other in ends):
        return False
    return all(one == other or same(one, other) for one, other in ends)


def _read(part: str) -> list[Piece] | None:
    """One interval, the points of a set, all reals, or an inequality."""
    if _ALL.fullmatch(part):
        return [Piece(LEAST, GREATEST, False, False)]
    points = in_braces(part)
    if points is not None:
        return [Piece(point, point, True, True) for point in split_outside(points, SEPARATOR) if point]
    brackets = in_brackets(part)
    if brackets and len(brackets[1]) == 2:
        start, end = map(_end, brackets[1])
        return [Piece(start, end, brackets[0] == "[", brackets[2] == "]")]
    return _bounds(part)


def _bounds(part: str) -> list[Piece] | None:
    """`-2 \\le x < 7`, `x > 3`, `3 < x`, `x \\ne 0`, of one letter; two bounds with a comma between hold both."""
    conditions = split_outside(part, re.compile(","))
    if len(conditions) == 2:
        both = [_bounds(condition) for condition in conditions]
        pieces = [piece for bounds in both if bounds and len(bounds) == 1 for piece in bounds]
        lower = [piece for piece in pieces if piece.end == GREATEST]
        upper = [piece for piece in pieces if piece.start == LEAST]
        if len(pieces) == 2 and len(lower) == len(upper) == 1:
            return [Piece(lower[0].start, upper[0].end, lower[0].has_start, upper[0].has_end)]
        return None
    sides = [side.strip() for side in _RELATION.split(part)]
    signs = [_SIGNS.get(sign, sign) for sign in map(str.strip, _RELATION.findall(part))]
    if len(signs) == 1 and _is_letter(sides[1]) and not _is_letter(sides[0]):
        sides, signs = sides[::-1], [_MIRRORED[signs[0]]]
    if len(signs) == 1 and _is_letter(sides[0]):
        below = Piece(LEAST, _end(sides[1]), False, signs[0] == "<=")
        above = Piece(_end(sides[1]), GREATEST, signs[0] == ">=", False)
        return {"<": [below], ">": [above], "!": [below, above]}[signs[0][0]]
    if len(signs) == 2 and _is_letter(sides[1]) and {sign[0] for sign in signs} in ({"<"}, {">"}):
        if signs[0][0] == ">":
            sides, signs = sides[::-1], [_MIRRORED[sign] for sign in reversed(signs)]
        return [Piece(_end(sides[0]), _end(sides[2]), signs[0] == "<=", signs[1] == "<=")]
    return None


def _is_letter(side: str) -> bool:
    return re.fullmatch(r"[A-Za-z]|\\(?!infty)[a-z]+", side) is not None


def _end(text: str) -> str:
    return _INFINITIES.get(text.replace(" ", ""), text.strip())
