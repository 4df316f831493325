"""Comparison of answers without parts, each kind exactly: numbers, letters, words, numbers in a base, ratios."""

import re
from fractions import Fraction
from unicodedata import normalize

from paring.verifier.golds import BASED, CLOCK, letters
from paring.verifier.latex import without_text
from paring.verifier.naming import bare, name_of
from paring.verifier.numbers import read_number, same_number
from paring.verifier.phrases import names_another_choice

_CHOICE_WITH_TEXT = re.compile(r"\(?([A-Z]) ?(?:[).:]|(?= \([^A-J])) *(.+)", re.DOTALL)
_ANOTHER_CHOICE = re.compile(r"\b[A-J][).:,]|\([A-J]\)|\\lor")
_CIRCLED = re.compile("[①-⑳]")
_ABBREVIATION = re.compile(r"(?<=\b[a-z])\.(?=[a-z]\b)")
_ARTICLE = re.compile(r"^(?:the|an?) (?=\w)")
_CLOSED = {
    word: set(words.split()) - {word}
    for words in (
        "yes no true false",
        "even odd neither",
        "true false yes no",
        "convergent divergent",
        "rational irrational",
    )
    for word in words.split()
}
"""Words that answer a closed question, each with those that would answer it otherwise."""
_HEDGES = set(
    "and or if unless but because since although however maybe perhaps possibly probably except when sometimes both "
    "neither not".split()
)
_NO_SECONDS = re.compile(r"(?<=:[0-5][0-9]) ?: ?00(?![0-9])")
_TO = re.compile(r" ?(?:\\text ?\{ ?to ?\}| to ) ?")
_PUNCTUATION = re.compile(r"[\"'`*.,:;!?()_\\-]")


def same_numbers(gold: str, answer: str) -> bool:
    in_ten = BASED.fullmatch(bare(answer))
    digits = in_ten[1] if in_ten and in_ten[2] == "10" else bare(answer)
    right, given = read_number(bare(gold)), read_number(digits)
    if not same_name(gold, answer):
        return False
    if right is not None and given is not None:
        return same_number(right, given)
    if "," in gold:  # 24,112 may be two answers
        return re.sub(" ?, ?", ",", answer) == gold
    is_part = right is not None and right.written.denominator != 1
    return is_part and ":" in answer and same_ratio(gold.replace("/", ":"), answer)


def same_name(gold: str, answer: str) -> bool:
    """A name may be missing on either side; two names are the same, or the answers are not."""
    one, other = name_of(gold), name_of(answer)
    return one is None or other is None or one == other


def same_letters(gold: str, answer: str) -> bool:
    """The same choices in any order; one choice may be followed by its option's text, without another choice in it. A
    gold that tells the option's text takes that too."""
    right, given = _chosen(gold), _chosen(answer)
    if right is None:
        return False
    told = right[1] and same_text(right[1], answer)
    return bool(told) or (given is not None and given[0] == right[0])


def _chosen(text: str) -> tuple[frozenset[str], str] | None:
    """The letters, and the text of the option that follows a single one."""
    if (several := letters(text) or letters(bare(text))) is not None:
        return several, ""
    chosen = _CHOICE_WITH_TEXT.fullmatch(without_text(text).strip())
    if chosen is None or _ANOTHER_CHOICE.search(chosen[2]) or names_another_choice(chosen[2]):
        return None
    return frozenset(chosen[1]), chosen[2].strip()


def same_text(gold: str, answer: str) -> bool:
    """The same words; yes, no and their kin may be followed by more, which holds none of the others and no hedge."""
    right, given = _folded(gold), _folded(answer)
    if right == given:
        return True
    first, _, rest = given.partition(" ")
    others = _CLOSED[right] if right in _CLOSED else None
    hedges = _HEDGES - {"not"} if right in ("no", "false") else _HEDGES
    return others is not None and first == right and not (others | hedges) & set(rest.split())


def _folded(text: str) -> str:
    """Words without case, punctuation, the dots of p.m. and an article before them; ① is (1)."""
    words = normalize("NFKC", _CIRCLED.sub(r"(\g<0>)", without_text(text))).casefold()
    return _ARTICLE.sub("", " ".join(_PUNCTUATION.sub(" ", _ABBREVIATION.sub("", words)).split()))


def same_based(gold: str, answer: str) -> bool:
    """The same digits in the same base; the base may be missing, as a unit may."""
    right = BASED.fullmatch(bare(gold))
    assert right is not None, gold  # as every gold of this kind
    given = BASED.fullmatch(bare(answer).replace(",", ""))
    if given is not None:
        return given.groups() == right.groups()
    return bare(answer).replace(",", "").strip("()") == right[1]


def same_ratio(gold: str, answer: str) -> bool:
    """Equal up to a common factor; a ratio of two may be written as a fraction. A time of day is that time alone."""
    answer = _TO.sub(":", bare(answer))
    clock, other = _clock(bare(gold)), _clock(answer)
    if clock is not None and ":" in answer:
        return other is not None and _same_time(clock, other)
    right, given = _terms(bare(gold)), _terms(answer)
    if right is None or given is None or len(right) != len(given):
        return False
    return all(one * given[0] == other * right[0] for one, other in zip(right, given, strict=True))


def _clock(text: str) -> tuple[int, str, str] | None:
    """The hour as written, the minutes, and am, pm or nothing, of a time of day; whole minutes may have seconds."""
    time = CLOCK.fullmatch(_NO_SECONDS.sub("", text))
    return time and (int(time[1]), time[2], re.sub("[^apm]", "", (time[3] or "").lower()))


def _same_time(gold: tuple[int, str, str], answer: tuple[int, str, str]) -> bool:
    """The same as written, where the half of the day may be missing, or on a clock of 24 hours."""
    (hour, minutes, half), (other, more, second) = gold, answer
    as_written = hour == other and (half == second or "" in (half, second))
    return minutes == more and (as_written or _of_day(hour, half) == _of_day(other, second))


def _of_day(hour: int, half: str) -> int:
    return hour if half == "" or hour > 12 else hour % 12 + (12 if half == "pm" else 0)


def _terms(text: str) -> list[Fraction] | None:
    """The numbers between the colons, none of them 0; a number alone is numerator and denominator."""
    read = [read_number(part.strip()) for part in text.split(":")]
    values = [number.value for number in read if number is not None]
    if len(read) == len(values) == 1:
        return [Fraction(values[0].numerator), Fraction(values[0].denominator)]
    return values if len(read) == len(values) and all(values) else None
