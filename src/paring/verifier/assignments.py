"""Points that are written by their names: `x = 3, y = 4`, with commas, semicolons, in lines, in braces, several."""

import re

from paring.verifier.latex import split_outside

_ASSIGNED = re.compile(r"([A-Za-z](?: ?_ ?(?:\{[^{}]{1,9}\}|[A-Za-z0-9]))?) ?= ?(.+)")
_TOGETHER = re.compile(
    r"\\begin ?\{(?:cases|aligned|array)\}(?: ?\{[lcr]*\})?(.*?)\\end ?\{[a-z]*\}|\\\{(.*)\\\}|\((.*)\)"
)
_NEXT_POINT = re.compile(r";|\\lor |\\cr ")
_COMMA = re.compile(",")
Values = dict[str, str]


def assigned(text: str) -> list[Values] | None:
    """The points of a text, each with its values by name in the order written; None if it is nothing like that.

    A point has two names or more. A name that comes again begins the next point.
    """
    if "=" not in text:
        return None
    text = text.strip()
    if whole := _TOGETHER.fullmatch(text):
        text = next(part for part in whole.groups() if part is not None).replace("&", "").strip()
    parts = [split_outside(part, _COMMA) for part in split_outside(text, _NEXT_POINT) if part]
    if len(parts) == 1 or all(len(part) == 1 for part in parts):
        parts = _divided([value for part in parts for value in part])
    points = []
    for part in parts:
        found = [_ASSIGNED.fullmatch(value.strip(" ()&")) for value in part]
        values = {assignment[1]: assignment[2] for assignment in found if assignment}
        if len(values) < max(2, len(part)):
            return None
        points.append(values)
    return points or None


def as_points(text: str, other: str) -> str:
    """`x = 3, y = 4` as (3, 4), by the order of the names' letters, and `x = 3, y = 4; x = 1, y = 2` as two points; the
    text itself if it is nothing like that, or the other has other names."""
    points = assigned(text)
    others = None if points is None else assigned(other)
    if points is None or (others is not None and sorted(map(sorted, points)) != sorted(map(sorted, others))):
        return text
    return ", ".join(f"({', '.join(point[name] for name in sorted(point))})" for point in points)


def _divided(values: list[str]) -> list[list[str]]:
    """The values, cut before each whose name the point has already."""
    points: list[list[str]] = [[]]
    names: set[str] = set()
    for value in values:
        name = value.partition("=")[0].strip()
        if name in names:
            points.append([])
            names = set()
        points[-1].append(value)
        names.add(name)
    return points
