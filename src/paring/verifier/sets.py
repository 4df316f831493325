"""Sets of real numbers: intervals, unions and inequalities as one list of pieces."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf
from typing import TypeVar

from paring.verifier.closed_forms import closed_value
from paring.verifier.golds import SEPARATOR, in_braces, in_brackets
from paring.verifier.latex import split_outside, without_text
from paring.verifier.phrases import whole_set

T = TypeVar("T")
_CUP = re.compile(r"\\cup(?![A-Za-z])")
_OR = re.compile(r"\\lor ")
_RELATION = re.compile(r"\\(?:le|ge|ne)(?![A-Za-z]) ?|[<>]=?")
_BELONGS = re.compile(r"[A-Za-z] ?\\in ?")
_WITHOUT = re.compile(r"\\setminus(?![A-Za-z])|(?<=\\mathbb\{R\}) ?-(?= ?\\\{)")
_EXCLUDED = re.compile(r"([A-Za-z]) ?\\ne(?![A-Za-z]) ?(.+)")
_CONDITION = re.compile(r"[A-Za-z] ?(?:\\in ?\\mathbb\{R\} ?)?[|:] ?")
_SIGNS = {r"\le": "<=", r"\ge": ">=", r"\ne": "!="}
_EXCEPT = re.compile(
    r"(?:all |any )?real(?:s| numbers?| values?)?(?: of)?(?: [a-z])? (?:except|other than|excluding|but not)"
    r"(?: for)? ?(?:[a-z] ?= ?)?(.+)"
)
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
    """The pieces of a set of reals, joined where they touch: brackets, unions, single points, bounds of one letter,
    sets without points; None for everything else."""
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
    return _joined(pieces)


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


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Pieces that overlap or touch as one, in their order, if all their ends are numbers."""
    placed = [placing for piece in pieces if (placing := _placed(piece)) is not None]
    if len(pieces) < 2 or len(placed) < len(pieces):
        return pieces
    joined: list[tuple[float, Piece]] = []
    for start, end, piece in sorted(placed, key=lambda placing: (placing[0], not placing[2].has_start)):
        last_end, last = joined[-1] if joined else (-inf, piece)
        if not joined or start > last_end or (start == last_end and not (last.has_end or piece.has_start)):
            joined.append((end, piece))
        elif end > last_end or (end == last_end and piece.has_end):
            joined[-1] = (end, Piece(last.start, piece.end, last.has_start, piece.has_end))
    return [piece for _, piece in joined]


def _placed(piece: Piece) -> tuple[float, float, Piece] | None:
    """A piece with the places of its ends; None if they have none, or stand the other way round."""
    start, end = _place(piece.start), _place(piece.end)
    return None if start is None or end is None or start > end else (start, end, piece)


def _place(end: str) -> float | None:
    """Where an end stands on the line; None of one with letters."""
    return {LEAST: -inf, GREATEST: inf}[end] if end in (LEAST, GREATEST) else closed_value(end)


def _without_points(pieces: list[Piece], points: list[str]) -> list[Piece] | None:
    """The pieces, cut at each point that lies within one; None where it cannot be told whether it does."""
    for point in points:
        cut: list[Piece] = []
        for piece in pieces:
            below = Piece(piece.start, point, piece.has_start, False)
            above = Piece(point, piece.end, False, piece.has_end)
            placed, at = _placed(piece), closed_value(point)
            if (piece.start, piece.end) == (LEAST, GREATEST):
                cut += [below, above]
            elif placed is None or at is None:
                return None
            elif placed[0] < at < placed[1]:
                cut += [below, above]
            else:
                has_start, has_end = piece.has_start and placed[0] != at, piece.has_end and placed[1] != at
                cut.append(Piece(piece.start, piece.end, has_start, has_end))
        pieces = cut
    return pieces


def _read(part: str) -> list[Piece] | None:
    """One interval, the points of a set, all reals or none, a set without some points, or an inequality."""
    if (whole := whole_set(part)) is not None:
        return [Piece(LEAST, GREATEST, False, False)] if whole == "the reals" else []
    if "real" in part and (excepted := _EXCEPT.fullmatch(" ".join(without_text(part).split()))):
        part = rf"\mathbb{{R}} \setminus \{{{excepted[1].replace(' and ', ',')}\}}"
    base, *removed = split_outside(part, _WITHOUT)
    if removed:
        pieces, points = _read(base), [in_braces(points) for points in removed]
        if pieces is None or None in points:
            return None
        return _without_points(pieces, [point for inner in points for point in split_outside(inner or "", SEPARATOR)])
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
    excluded = [found for condition in conditions if (found := _EXCLUDED.fullmatch(condition))]
    if len(conditions) > 1 and len({found[1] for found in excluded}) == 1:
        rest = ",".join(condition for condition in conditions if not _EXCLUDED.fullmatch(condition))
        base = _bounds(rest) if rest else [Piece(LEAST, GREATEST, False, False)]
        return None if base is None else _without_points(base, [found[2] for found in excluded])
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
    return re.fullmatch(r"[A-Za-z](?: ?\([a-z]\))?|\\(?!infty)[a-z]+", side) is not None


def _end(text: str) -> str:
    return _INFINITIES.get(text.replace(" ", ""), text.strip())
