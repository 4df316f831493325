"""English words that change an answer, or are one: multiples, operations, hedges; all reals, or none."""

import re
from typing import Literal

from paring.verifier.latex import without_text

_ONES = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
_TENS = "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion zero"
_PARTS = (
    "half halve third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth "
    "hundredth thousandth millionth quarter"
)
_MULTIPLES = "dozen score gross double doubled triple tripled quadruple quadrupled halved twice thrice once couple"
_OPERATIONS = (
    "squared cubed factorial root inverse inverted reciprocal negative minus plus times over divided multiplied power "
    "mod modulo log opposite conjugate complement added subtracted increased decreased reduced rounded"
)
_HEDGES = (
    "maybe perhaps possibly probably likely presumably potentially unless except alternatively otherwise either else "
    "if when whenever while whereas where nor neither also too rather instead not no never isnt wrong incorrect false "
    "could might may should would can will is are was were be been it this that but however though although "
    "then versus vs unknown undefined unsure uncertain guess think believe sometimes almost nearly roughly around "
    "about approximately approx"
)
_BOUNDS = "than least most more less fewer up to until till between above below under beyond exceeding minimum maximum"
_JOINS = "and or plus excluding without"
_CHANGING = re.compile(
    rf"\b(?:{'|'.join(f'{word}s?' for word in f'{_ONES} {_TENS} {_PARTS} {_MULTIPLES}'.split())}"
    rf"|{'|'.join(f'{_OPERATIONS} {_HEDGES} {_BOUNDS} {_JOINS}'.split())}|\w+(?:teen|tie)ths?)\b|n't\b|n’t\b"
)
_OPEN_END = re.compile(r"\b(?:of|in|for|per|with|by|from|at|on|the|a|an|as)$")
_HEDGED_CHOICE = re.compile(
    r"(?i:\b(?:or|and|also|maybe|perhaps|possibly|probably|alternatively|otherwise|either|could|might|may|"
    r"but|rather|instead|not|unless|else|both|as well|versus|vs)\b.*)\b[A-J]\b(?!')",
    re.DOTALL,
)
_APPROXIMATELY = re.compile(r"\(? ?(?:approximately|approx\.?|about|rounded|to the nearest \w+) ?\)?")
_EMPTY = re.compile(
    r"\\emptyset|\\\{ ?\\\}|(?:there (?:is|are) )?no (?:real )?(?:solutions?|roots?)|(?:the )?empty set|none"
)
_REALS = re.compile(
    r"(?:the set of )?(?:all|any|every|the)? ?(?:of the )?real(?:s| numbers?| values?)?(?: of)?(?: [a-z])?"
    r"|(?:[a-z] (?:is|can be) )?(?:all|any|every) real(?:s| numbers?)?|\\mathbb ?\{?R\}?|\\text ?\{R\}"
)
Whole = Literal["nothing", "the reals"]


def changes_number(words: str) -> bool:
    """Whether words after a number, in small letters, make it another answer, or none: they are no unit."""
    return _CHANGING.search(words) is not None or _OPEN_END.search(words) is not None


def says_rounded(words: str) -> bool:
    """Whether words after a number only say that it is rounded."""
    return _APPROXIMATELY.fullmatch(words) is not None


def names_another_choice(words: str) -> bool:
    """Whether the text of an option goes on to another choice: `maybe D`, `it could also be D`."""
    return _HEDGED_CHOICE.search(words) is not None


def whole_set(text: str) -> Whole | None:
    """The set of reals that a tidy text says in words or as one sign: none of them, or all."""
    words = " ".join(without_text(text).strip(" .").split()).lower() if "\\mathbb" not in text else text.strip()
    if _EMPTY.fullmatch(words):
        return "nothing"
    return "the reals" if text.strip() == "R" or _REALS.fullmatch(words) else None
