"""Comparison of answers with parts: lists, sets, tuples, intervals and matrices, whose parts are compared by `same`."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain

from paring.verifier.assignments import as_points, assigned
from paring.verifier.danger import MOST_ELEMENTS
from paring.verifier.golds import RELATION, SEPARATOR, in_braces, in_brackets
from paring.verifier.latex import closings, compact, split_outside
from paring.verifier.naming import bare
from paring.verifier.sets import matched, real_set, same_piece

_INTERVALS = re.compile(rf"{RELATION.pattern}|\\(?:cup|setminus)(?![A-Za-z])")
_MATRIX = re.compile(
    r"[(\[]? ?\\begin\{(?:[pb]?matrix|smallmatrix)\}(.*)\\end\{[a-z]*matrix\} ?[)\]]?"
    r"|[(\[] ?\\begin\{array\} ?\{[lcr| ]*\}(.*)\\end\{array\} ?[)\]]"
)
_BELONGS = re.compile(r"^[a-z] ?\\in ?(?![a-zA-Z])")
_BETWEEN_SETS = re.compile(r"\\\} ?\\cup ?\\\{")
_OF_POINT = re.compile(r"^[A-Z](?: ?_ ?(?:\{[^{}]{1,9}\}|[0-9]))? ?(?=\()")
Same = Callable[[str, str], bool]


def elements(text: str) -> list[str]:
    """The members of a list or a set; `a \\pm b` is two of them, upper signs and lower signs."""
    value = bare(text) if len(split_outside(text, SEPARATOR)) == 1 else text
    inner = in_braces(_BETWEEN_SETS.sub(",", _BELONGS.sub("", value)))
    members = []
    for member in split_outside(value if inner is None else inner, SEPARATOR):
        if r"\pm" in member or r"\mp" in member:
            members += [_signed(member, "+", "-"), _signed(member, "-", "+")]
        elif member:
            members.append(member[1:-1] if closings(member).get(0) == len(member) - 1 and member[0] == "{" else member)
    return members


def _signed(member: str, upper: str, lower: str) -> str:
    signed = re.sub(r"\\pm ?", upper, re.sub(r"\\mp ?", lower, member))
    return re.sub(r"(^|[(,;=]) ?\+", r"\1", signed)


def same_list(gold: str, answer: str, same: Same) -> bool:
    """The same members as often, in any order; names of a gold may be missing, and then the order is the gold's."""
    named, plain = assigned(gold), elements(answer)
    if named and len(named) == 1 and "=" not in answer and len(plain) == len(named[0]):
        return all(same(value, other) for value, other in zip(named[0].values(), plain, strict=True))
    right, given = elements(as_points(gold, answer)), elements(as_points(answer, gold))
    if len(given) == 1 and len(right) > 1:  # 100,200 may be one number or two
        given = answer.split(",")
    return _all_matched(right, given, same) or (bool(_INTERVALS.search(gold)) and same_interval(gold, answer, same))


def same_members(gold: str, answer: str, same: Same) -> bool:
    """The same members in any order; how often one stands there does not matter."""
    texts = gold, as_points(answer, gold)
    right, given = (list({compact(member): member for member in elements(text)}.values()) for text in texts)
    return in_brackets(bare(answer)) is None and _all_matched(right, given, same)


def _all_matched(right: Sequence[str], given: Sequence[str], same: Same) -> bool:
    if len(right) != len(given) or len(right) > MOST_ELEMENTS:
        return False
    return matched(right, given, lambda one, other: compact(one) == compact(other), same)


def same_tuple(gold: str, answer: str, same: Same) -> bool:
    """The same brackets around the same members in the same order, pointed ones as round ones. (1,3) may be an open
    interval: 1 < x < 3."""
    right, given = (in_brackets(_place(text)) for text in (gold, answer))
    if right is None or given is None:
        return _INTERVALS.search(answer) is not None and same_interval(gold, answer, same)
    if (right[0], right[2]) != (given[0], given[2]) or len(right[1]) != len(given[1]):
        return False
    return all(same(one, other) for one, other in zip(right[1], given[1], strict=True))


def _place(text: str) -> str:
    """A point without its name, in round brackets."""
    place = _BELONGS.sub("", bare(as_points(text, "")))
    return _OF_POINT.sub("", place.replace("⟨", "(").replace("⟩", ")"))


def same_interval(gold: str, answer: str, same: Same) -> bool:
    right, given = real_set(bare(gold)), real_set(bare(answer))
    if right is None or given is None:
        return False
    return matched(right, given, partial(same_piece, same=same))


def same_matrix(gold: str, answer: str, same: Same) -> bool:
    """The same cells in the same places. Round and square brackets are one; the bars of a determinant are not. Pointed
    ones hold a vector, a column of cells."""
    right, given = _rows(bare(gold)), _rows(bare(answer))
    if right is None or given is None or [len(row) for row in right] != [len(row) for row in given]:
        return False
    return all(same(one, other) for one, other in zip(chain(*right), chain(*given), strict=True))


def _rows(text: str) -> list[list[str]] | None:
    matrix = _MATRIX.fullmatch(text)
    if text[:1] == "⟨" and (vector := in_brackets(text)):
        return [[cell] for cell in vector[1]]
    if matrix is None:
        return None
    content = matrix[2] if matrix[1] is None else matrix[1]
    return [[cell.strip() for cell in row.split("&")] for row in content.split(r"\cr") if row.strip()]
