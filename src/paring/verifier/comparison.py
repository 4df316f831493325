"""Whether an answer is the gold, kind by kind: exactly here where that can be, else by asking for algebra."""

import re
from collections.abc import Callable
from functools import partial
from typing import Protocol

from paring.verifier.choices import with_binomials
from paring.verifier.closed_forms import is_near
from paring.verifier.compounds import Same, same_interval, same_list, same_matrix, same_members, same_tuple
from paring.verifier.golds import NUMBERS, RELATION, SEPARATOR, Gold, Kind, in_braces, kind_of
from paring.verifier.latex import compact, split_outside, without_text
from paring.verifier.leaves import same_based, same_letters, same_name, same_numbers, same_ratio, same_text
from paring.verifier.naming import Chain, bare, chain, is_formula, name_of
from paring.verifier.units import known_unit


class Algebra(Protocol):
    """Compares what needs a computer algebra system, in tidy spelling."""

    def equal(self, gold: str, answer: str) -> bool:
        """Whether two expressions are the same value for all values of their letters."""
        ...

    def proportional(self, gold: tuple[str, str], answer: tuple[str, str], *, sign: bool) -> bool:
        """Whether left minus right of both differ by a constant factor only; by a positive one if `sign` matters."""
        ...


def is_same(gold: Gold, answer: str, algebra: Algebra) -> bool:
    """Whether a tidy answer is the gold."""
    if gold.text == answer or compact(gold.text) == compact(answer) or _is_kind(gold, answer, algebra):
        return True
    if gold.kind not in _IN_CHAINS:
        return False
    if answer.endswith(r"\}") and (single := in_braces(bare(answer))) and gold.kind in (*NUMBERS, "expression"):
        return _is_kind(gold, single, algebra)
    claim = chain(answer)
    return claim is not None and _is_claimed(gold, claim, algebra)


def _is_kind(gold: Gold, answer: str, algebra: Algebra) -> bool:
    """Whether an answer is the gold by the rules of the gold's kind."""
    if gold.kind in _WITHOUT_PARTS:
        return _WITHOUT_PARTS[gold.kind](gold.text, answer)
    if gold.kind in _WITH_PARTS:
        return _WITH_PARTS[gold.kind](gold.text, answer, partial(_same_value, algebra=algebra))
    return _WITH_ALGEBRA[gold.kind](gold.text, answer, algebra)


def _is_claimed(gold: Gold, claim: Chain, algebra: Algebra) -> bool:
    """Whether one of the values that an answer states is the gold, and none is another value: `2 + 2 = 5` is no 5."""
    if (name := name_of(gold.text)) and claim.names and name not in claim.names:
        return False
    right = Gold(gold.kind, bare(gold.text))
    is_gold = [compact(right.text) == compact(value) or _is_kind(right, value, algebra) for value in claim.values]
    others = [value for value, same in zip(claim.values, is_gold, strict=True) if not same]
    return any(is_gold) and all(
        (claim.is_named and is_formula(value)) or is_near(right.text, value, claim.is_rounded) for value in others
    )


def _same_equation(gold: str, answer: str, algebra: Algebra) -> bool:
    """Equal up to a constant factor: `y = 2x + 3` is `2x - y + 3 = 0`. Its right side alone is enough, and y stands for
    f(x)."""
    answer = _renamed(gold, answer)
    names = name_of(gold), name_of(answer)
    is_alike = names[0] == names[1] or ("y" in names and all(name and _VALUE_OF_X.fullmatch(name) for name in names))
    if names[0] is not None and (is_alike or "=" not in answer):
        return _same_value(bare(gold), bare(answer), algebra)
    right, given = gold.split("="), answer.split("=")
    if len(right) != 2 or len(given) != 2 or RELATION.search(answer):
        return False
    return algebra.proportional((right[0], right[1]), (given[0], given[1]), sign=False)


def _renamed(gold: str, answer: str) -> str:
    """The answer in the gold's letter where both define one function: f(y) = 2y + 1 is f(x) = 2x + 1."""
    one, other = _FUNCTION.match(gold), _FUNCTION.match(answer)
    if one is None or other is None or one[1] != other[1] or one[2] in re.findall("[A-Za-z]", answer):
        return answer
    return re.sub(r"\\[A-Za-z]+|[A-Za-z]", lambda token: one[2] if token[0] == other[2] else token[0], answer)


def _same_inequality(gold: str, answer: str, algebra: Algebra) -> bool:
    if same_interval(gold, answer, partial(_same_value, algebra=algebra)):
        return True
    right, given = _increasing(gold), _increasing(answer)
    if compact(" ".join(right)) == compact(" ".join(given)):
        return True
    if len(right) != 3 or len(given) != 3 or right[1] != given[1]:
        return False
    return algebra.proportional((right[0], right[2]), (given[0], given[2]), sign=right[1] != r"\ne")


def _increasing(text: str) -> list[str]:
    r"""The sides and signs of an inequality, turned so that no sign is > or \ge."""
    parts = [part.strip() for part in re.split(rf"({RELATION.pattern})", text)]
    turned = [_TURNED.get(part, part) for part in reversed(parts)]
    return turned if any(part in _TURNED for part in parts[1::2]) else parts


def _same_expression(gold: str, answer: str, algebra: Algebra) -> bool:
    """The same value for all values of the letters; a name and a unit may be missing on either side."""
    if not same_name(gold, answer) or len(split_outside(answer, SEPARATOR)) > 1:
        return False
    (right, unit), (given, other) = (_without_unit(with_binomials(bare(text))) for text in (gold, answer))
    if unit and other and unit != other:
        return False
    is_equation = len(split_outside(given, _EQUALS)) > 1
    if is_equation or kind_of(given) not in (*NUMBERS, "letters", "expression") or _IS_NO_EXPRESSION.search(given):
        return False
    return compact(right) == compact(given) or algebra.equal(right, given)


def _without_unit(text: str) -> tuple[str, str]:
    """Degrees are a unit, but not those of an angle whose cosine is meant."""
    ending = _UNIT.search(text)
    if ending is None or (ending[0] == "°" and _OF_ANGLES.search(text)):
        return text, ""
    unit = known_unit(without_text(ending[0]).strip().lower())
    return (text[: ending.start()].strip(), unit) if unit or ending[0].startswith(r"\text") else (text, "")


def _same_value(gold: str, answer: str, algebra: Algebra) -> bool:
    return is_same(Gold(kind_of(gold), gold), answer, algebra)


_FUNCTION = re.compile(r"([A-Za-z]) ?\( ?([a-z]) ?\) ?=")
_VALUE_OF_X = re.compile(r"y|[a-z]\(x\)")
_IN_CHAINS: tuple[Kind, ...] = (*NUMBERS, "ratio", "based", "expression", "tuple", "interval", "matrix", "set")
_TURNED = {">": "<", r"\ge": r"\le"}
_EQUALS = re.compile("=")
_IS_NO_EXPRESSION = re.compile(
    rf"{RELATION.pattern}|\\(?:approx|sim|equiv)(?![A-Za-z])|\\text|\\ldots|\\pm|\\begin|[:;?\"]"
)
_UNIT = re.compile(r"\\text\{[^{}]*\} ?(?:\^ ?\{? ?[23] ?\}?)?$|(?<=[})]) ?[a-z]{2,}(?: ?\^ ?\{? ?[23] ?\}?)?$|°$")
_OF_ANGLES = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])")
_WITHOUT_PARTS: dict[Kind, Same] = {
    **dict.fromkeys(NUMBERS, same_numbers),
    **{"letters": same_letters, "text": same_text, "based": same_based, "ratio": same_ratio},
}
_WITH_PARTS: dict[Kind, Callable[[str, str, Same], bool]] = {
    **{"list": same_list, "set": same_members, "tuple": same_tuple, "interval": same_interval, "matrix": same_matrix}
}
_WITH_ALGEBRA: dict[Kind, Callable[[str, str, Algebra], bool]] = {
    **{"inequality": _same_inequality, "equation": _same_equation, "expression": _same_expression}
}
