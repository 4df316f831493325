"""Golds and their kinds: what an answer has to be, read from the form of the gold."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from paring.verifier.characters import is_hidden
from paring.verifier.danger import is_bulky
from paring.verifier.latex import closings, split_outside, tidy, without_text
from paring.verifier.naming import bare
from paring.verifier.numbers import read_number
from paring.verifier.phrases import whole_set

NumberKind = Literal["integer", "decimal", "fraction", "percentage"]
LeafKind = Literal["letters", "text", "based", "ratio"]
PartsKind = Literal["list", "set", "tuple", "interval"]
Kind = Literal[NumberKind, LeafKind, PartsKind, "inequality", "matrix", "equation", "expression"]
KINDS: dict[str, Kind] = {kind: kind for kind in get_args(Kind)}
NUMBERS: tuple[NumberKind, ...] = get_args(NumberKind)
LEAVES: tuple[Kind, ...] = (*NUMBERS, *get_args(LeafKind))
_ALGEBRAIC = ("equation", "expression", "inequality")
SEPARATOR = re.compile(r"[,;]|\\lor ")
RELATION = re.compile(r"\\(?:le|ge|ne|in)(?![A-Za-z])|[<>]")
BASED = re.compile(r"\(?([0-9A-Z]+(?:\.[0-9A-Z]+)?)\)? ?_ ?\{? ?([0-9]{1,2}) ?\}?")
_LETTERS = re.compile(r"\(?([A-Z](?:\)?[ ,]*(?:\\lor )?\(?[A-Z])*)\)?")
_CHOICES = re.compile(r"(?=[A-J]+$)(?!.*(.).*\1)[A-J]{1,10}")
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}")
_CHINESE = re.compile("[\u4e00-\u9fff]")
_ONLY_TEXT = re.compile(r"\\text\{[^{}]*\}")
_STATEMENTS = re.compile(r"(?:\([0-9]\) ?){2,}")
_BETWEEN_PARTS = re.compile(
    r"[,;&()\[\]]|\\[{}]|\\cr |\\cup |\\lor |\\(?:begin|end)\{[a-z]*\}|[-+]?\\infty|^[a-z] ?\\in "
)
_OPTION = re.compile(r"\( ?[A-J] ?\)[.:]? *[\w$\\-].*|[A-J][):] .+", re.DOTALL)
CLOCK = re.compile(r"([01]?[0-9]|2[0-3]) ?: ?([0-5][0-9])((?: |\\text|[{}])*[ap]\.?m\.?[{} ]*)?", re.IGNORECASE)
_OUTWARD = re.compile(r"(?:\](?=.*[\]\[]$)|\[(?=.*\[$))([^\[\]]+[,;][^\[\]]+)[\]\[]")
_RATIO = re.compile(r"[0-9.]+(?: ?: ?[0-9.]+)+")


@dataclass(frozen=True, slots=True)
class Gold:
    """A right answer: what kind it is, and its text in the one spelling that comparison reads (verifier/latex.py)."""

    kind: Kind
    text: str

    @classmethod
    def read(cls, text: str, kind: Kind | Literal["auto"] = "auto") -> "Gold":
        """Raises ValueError if the gold is blank, too long or too deep to be compared, or not of the kind given."""
        if kind != "auto" and kind not in KINDS:
            raise ValueError(f"kind={kind!r}: unknown; choices: auto, {', '.join(KINDS)}")
        gold = f"the gold {text[:60]!r}"
        if is_hidden(text) or is_bulky(text):
            raise ValueError(f"{gold} is too long or holds hidden characters: no answer can be compared")
        tidied = tidy(text)
        if not tidied:
            raise ValueError(f"{gold} is blank")
        kind = kind_of(tidied) if kind == "auto" else kind
        if kind in NUMBERS and read_number(bare(tidied)) is None:
            raise ValueError(f"{gold} is no {kind} that can be read; try kind='auto'")
        if kind == "based" and BASED.fullmatch(bare(tidied)) is None:
            raise ValueError(f"{gold} is no number with its base; write 2112_6")
        return cls(kind, tidied)

    @property
    def needs_symbols(self) -> bool:
        """Whether some answers cannot be compared with it without math-verify."""
        if self.kind in LEAVES:
            return False
        if self.kind in _ALGEBRAIC:
            return True
        parts = [part.strip(" {}") for part in _BETWEEN_PARTS.split(self.text)]
        # A part that is a list is one with \pm: 1 \pm 2 is 1+2, which is an expression.
        return any(kind_of(part) in (*_ALGEBRAIC, "list") for part in parts if part)


def kind_of(text: str) -> Kind:
    """The kind of a tidy text."""
    value = bare(text)
    number = read_number(value)
    if number is not None and number.suffix.percent:
        return "percentage"
    if number is not None:
        is_fraction = "/" in value or r"\frac" in value or "分之" in value
        return "fraction" if is_fraction else "integer" if number.written.denominator == 1 else "decimal"
    if letters(text) is not None:
        return "letters"
    if BASED.fullmatch(value):
        return "based"
    if _RATIO.fullmatch(value) or CLOCK.fullmatch(value):
        return "ratio"
    if _OPTION.fullmatch(without_text(text).strip()):
        return "letters"
    if whole_set(value) is not None:
        return "interval"
    if r"\begin{" in value:
        return "matrix"
    if len(split_outside(text, SEPARATOR)) == 1 and (is_words(value) or _STATEMENTS.fullmatch(value)):
        return "text"
    return _kind_of_structure(text, value)


def letters(text: str) -> frozenset[str] | None:
    """The letters of a choice: one capital, or several (ACD; A, C; (A)(C)), in any order; None for everything else."""
    words = re.sub(r"\band\b", ",", without_text(text)).strip(" .()[]")
    if re.fullmatch("[A-Z]", words) or _CHOICES.fullmatch(words):
        return frozenset(words)
    several = _LETTERS.fullmatch(words)
    chosen = re.findall("[A-Z]", words) if several and re.search(r"[ ,()]", words) else []
    return frozenset(chosen) if chosen and len(set(chosen)) == len(chosen) else None


def is_words(text: str) -> bool:
    """Whether a text is to be compared word by word: Chinese, or words without any mathematics around them."""
    words = without_text(text)
    if _CHINESE.search(words) or _ONLY_TEXT.fullmatch(text):
        return True
    return bool(_WORD.search(words)) and not re.search(r"[\\=<>^_{}+*]", words)


def in_braces(text: str) -> str | None:
    """The text between `\\{` and `\\}` if they hold all of it."""
    whole = text.startswith(r"\{") and text.endswith(r"\}") and closings(text).get(1) == len(text) - 1
    return text[2:-2].strip() if whole else None


def in_brackets(text: str) -> tuple[str, list[str], str] | None:
    """The brackets that hold all of the text, and the pieces between commas; None without them. `]a, b[` is (a, b)."""
    if (text[:1] == "]" or text[-1:] == "[") and (outward := _OUTWARD.fullmatch(text)):
        text = f"{'(' if text[0] == ']' else '['}{outward[1]}{')' if text[-1] == '[' else ']'}"
    if text[:1] not in ("(", "[", "⟨") or text[-1:] not in (")", "]", "⟩") or closings(text).get(0) != len(text) - 1:
        return None
    return text[0], split_outside(text[1:-1], re.compile("[,;]")), text[-1]


def _kind_of_structure(text: str, value: str) -> Kind:
    if r"\cup" in value or r"\setminus" in value or re.search(r"\\mathbb\{R\}$", value):
        return "interval"
    if len(split_outside(text, SEPARATOR)) > 1:
        return "list"
    value = re.sub(r"^[a-z] ?\\in ", "", value)
    if in_braces(value) is not None:
        return "interval" if RELATION.search(value) else "set"
    brackets = in_brackets(value)
    if brackets and len(brackets[1]) > 1:
        is_interval = len(brackets[1]) == 2 and ("[" in brackets or "]" in brackets or r"\infty" in value)
        return "interval" if is_interval else "tuple"
    if RELATION.search(value):
        return "inequality"
    if r"\pm" in value:
        return "list"
    return "equation" if len(split_outside(text, re.compile("="))) > 1 else "expression"
