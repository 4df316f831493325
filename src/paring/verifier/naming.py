"""Names: `x`, `f(2)`, `|AB|`, `P(A|B)` before a value, and chains of equal values such as `A = 6^2 = 36`.

A side of an equation is a name if no number is missing to know its value: it holds letters, functions of anything,
indices, bars and ratios of those. `x + y` and `mn` are quantities: what was asked for, but not the name of one thing.
`2x` is neither: 2x = 5 is an equation that is left to solve.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from paring.verifier.latex import split_outside, without_text
from paring.verifier.numbers import read_number

EQUALS = re.compile(r"\\(?:approx|equiv|simeq|sim)(?![A-Za-z])|:?=")
_SPACED_EQUALS = re.compile(rf" ?(?:{EQUALS.pattern}) ?")
_MAY_NAME = re.compile(r"[=:]|\\(?:approx|equiv|sim)")
_NAME = re.compile(
    r"(?:(?:\\(?:angle|triangle|text\{[^{}]*\})|[A-Za-z])[A-Za-z']{0,4}(?: ?_ ?(?:\{[^{}]{1,12}\}|[A-Za-z0-9]))?"
    r"(?: ?\( ?[A-Za-z](?: ?, ?[A-Za-z])* ?\))?"
    r"|\\angle(?: ?[A-Z](?:_\{[0-9]\})?){3}|\\(?!pi)[a-z]+ ?(?:_ ?(?:\{[^{}]{1,12}\}|[A-Za-z0-9]))?"
    r"|\( ?[a-z](?: ?, ?[a-z])+ ?\)) ?(?:=|\\approx(?![A-Za-z])) ?"
)
_LABEL = re.compile(
    r"(?:\\text\{[^{}]{1,40}: ?\}|\\text\{[^{}]{1,40}\} ?:) ?(?=[-+0-9\\$£€(\[.]|[A-Z](?![A-Za-z]))"
    r"|[A-Za-z](?:_(?:[0-9]|\{[^{}]{1,9}\}))? ?: ?(?=[-+0-9\\$£€(\[.])"
)
_FORM_OF_NAME = [
    (re.compile(r"(?<=[A-Za-z}]) ?\[[^\[\]]{1,60}\]|#(?= ?[A-Z])"), ""),
    (re.compile(r"# ?\\\{[^{}]*\\\}"), "Q"),
    (re.compile(r"\\text\{[^{}]*\}|\[[A-Z]{3,5}\]|\( ?[a-z] ?\\circ ?[a-z] ?\)"), "Q"),
    (re.compile(r"(?<=[A-Za-z]) ?\^ ?\{ ?-1 ?\}(?= ?\()"), ""),
    (re.compile(r" ?_ ?(?:\{[^{}]*\}|[A-Za-z0-9])|'|°|\\limits"), ""),
    (re.compile(r"(\\[A-Za-z]+) ?\^ ?(?:\{[^{}]*\}|[A-Za-z0-9]|\\infty)"), r"\1 "),
    (
        re.compile(r"\\(?:overline|overrightarrow|vec|hat|bar|widehat|mathbf|mathcal|mathbb|operatorname) ?\{[^{}]*\}"),
        "Q",
    ),
    (re.compile(r"(?:\\\|)[^|=]+?(?:\\\|)|\|[^|=]+\|"), "Q"),
]
_CALL = re.compile(r"(\\[A-Za-z]+|[A-Za-z]) ?\(([^()]*)\)")
_FRACTION = re.compile(r"\\frac\{([^{}]*)\}\{([^{}]*)\}")
_POWER = re.compile(r" ?\^ ?(?:\{[^{}]*\}|[0-9a-z])")
_TOKEN = re.compile(r"\\[A-Za-z]+|[A-Za-z]|[^\s()]")
_NO_NAMES = {
    rf"\{command}" for command in "pi infty le ge ne in frac sqrt binom lor pm mp begin cr cup emptyset ldots".split()
}
_NUMBERS = {"e", "i", r"\pi"}
_SIGNS = set("+-/:*") | {r"\cdot", r"\times"}
_SEVERAL_ANSWERS = re.compile(r"(?<![0-9]),|,(?![0-9]{3}(?![0-9]))|;|\\lor ")
LONGEST_NAME = 200
"""Characters of a side of an equation that may be a name."""
_NUMBER = re.compile("[-+0-9., ]*")
_WORDS = re.compile(r"\\text\{[^{}]*\}|\\(?!alpha|beta|gamma|delta|theta|lambda|mu|omega|phi|rho|sigma)[A-Za-z]+")
_FREE_LETTER = re.compile("(?!e(?![A-Za-z]))[A-Za-z]")
_BINDS = re.compile(r"\\(?:sum|prod|int|lim|max|min)(?![A-Za-z])")


def bare(text: str) -> str:
    """The text without the names that it gives its value: `x = y = 5` is 5. Not without more: 2x = 5 stays."""
    for _ in range(3):
        end = _end_of_name(text)
        if end == 0:
            break
        text = text[end:]
    return text.strip()


def name_of(text: str) -> str | None:
    """The name that a text gives its value, without spaces and bars."""
    end = _end_of_name(text)
    return None if end == 0 else _plain_name(EQUALS.sub("", text[:end]))


def is_quantity(side: str) -> bool:
    """Whether a side is something whose value was asked for: `f(2)`, `x + y`, `\\frac{AB}{CD}`. Not `2x`, not `x^2`."""
    if _BINDS.match(side):
        return True
    if len(side) > LONGEST_NAME or _NUMBER.fullmatch(side):
        return False
    form = _form(side)
    letters = set(re.findall(r"\\[A-Za-z]+|[A-Za-z]", form))
    if len(letters) > 1 and not letters <= _NUMBERS:
        form = _POWER.sub("", form)
    return _signs_between_names(form) is not None


@dataclass(frozen=True, slots=True)
class Chain:
    """An answer that states its value more than once, or with what it is the value of: `A = 6^2 = 36`."""

    names: tuple[str, ...]
    values: tuple[str, ...]
    is_rounded: bool
    """Whether one of the signs is \\approx: a value may be the rounding of another."""
    is_named: bool
    """Whether the first side is a name: what follows may be the formula of it, `A = \\pi r^2 = 36\\pi`."""


def chain(text: str) -> Chain | None:
    """None for everything that is no chain, and for one in which two sides are the same text: 9 = 9 names nothing."""
    sides = split_outside(text, EQUALS) if _MAY_NAME.search(text) else []
    if (
        len(sides) < 2
        or not all(sides)
        or len(set(sides)) < len(sides)
        or len(split_outside(text, _SEVERAL_ANSWERS)) > 1
    ):
        return None
    names = tuple(side for side in sides if is_quantity(side))
    return Chain(
        tuple(map(_plain_name, names)),
        tuple(side for side in sides if side not in names),
        is_rounded=r"\approx" in text or r"\sim" in text,
        is_named=len(sides) > 2 and _is_name(sides[0]),
    )


def is_formula(side: str) -> bool:
    """Whether a side holds letters whose values it does not tell: `\\pi r^2`. Not `25 m`."""
    return _FREE_LETTER.search(_WORDS.sub(" ", side)) is not None and read_number(side) is None


@lru_cache(maxsize=8)  # of one answer: it is asked for several times
def _end_of_name(text: str) -> int:
    if _MAY_NAME.search(text) is None:
        return 0
    if named := _NAME.match(text) or _LABEL.match(text):
        return named.end()
    side, equals, _ = _first_side(text)
    return len(side) + len(equals) if equals and _is_name(side) else 0


def _first_side(text: str) -> tuple[str, str, str]:
    first = split_outside(text, EQUALS)[0]
    start = text.find(first) + len(first)
    sign = _SPACED_EQUALS.match(text, start)
    return (text[:start], sign[0], text[sign.end() :]) if sign and first else (text, "", "")


def _is_name(side: str) -> bool:
    signs = _signs_between_names(_form(side)) if len(side) <= LONGEST_NAME else None
    return signs is not None and (not signs or signs in ([":"], ["/"]))


def _signs_between_names(form: str) -> list[str] | None:
    """The signs of a form that holds names and single signs between them alone; None if it holds more."""
    tokens = _TOKEN.findall(form)
    are_signs = [token in _SIGNS for token in tokens]
    if not tokens or are_signs[0] or are_signs[-1] or any(one and other for one, other in pairwise(are_signs)):
        return None
    names = [token for token in tokens if token not in _SIGNS]
    if any(token in _NO_NAMES or not token.lstrip("\\").isalpha() for token in names):
        return None
    return [token for token in tokens if token in _SIGNS]


def _form(side: str) -> str:
    """A side with functions, bars, indices and fractions reduced to letters."""
    for pattern, replacement in _FORM_OF_NAME:
        side = pattern.sub(replacement, side)
    for _ in range(4):
        reduced = _FRACTION.sub(r"\1/\2", _CALL.sub(_of_call, side))
        if reduced == side:
            break
        side = reduced
    return side


def _of_call(call: re.Match[str]) -> str:
    """A function without its arguments; x(x+1) is a product."""
    return call[0] if call[1] in re.findall("[A-Za-z]", call[2]) and len(call[1]) == 1 else call[1] + " "


def _plain_name(text: str) -> str:
    return re.sub(r"m? ?\\angle|\\(?:overline|text|vec)|\\?\||[{}\s]", "", without_text(text))
