"""Texts and numbers as people read them: harmless on a terminal, on one line, and each figure in one form."""

import unicodedata
from collections.abc import Mapping


def visible(text: str, limit: int | None = None) -> str:
    """Text of a model made harmless: whatever is not printable, but newline and tab, becomes a visible escape.

    So no control character, reversal of direction, zero-width character or lone surrogate reaches a terminal.
    At most `limit` characters come back; a text that was cut ends in "…".
    """
    head = text if limit is None else text[: limit + 1]
    if not head.isprintable():
        head = "".join(map(_visible_character, head))
    if limit is None or len(head) <= limit:
        return head
    return head[: max(0, limit - 1)] + "…"


def one_line(text: str, limit: int | None = None) -> str:
    """`visible`, with one space for every stretch of white space."""
    return visible(" ".join(text.split()), limit)


def percent(share: float) -> str:
    """36.0: a share in per cent, without its sign."""
    return f"{100 * share:.1f}"


def percent_interval(low: float, high: float) -> str:
    """[31.9, 40.3]: shares in per cent."""
    return f"[{percent(low)}, {percent(high)}]"


def accuracy_words(share: float, low: float, high: float) -> str:
    """36.0 % [31.9, 40.3]: an accuracy with its 95 % interval."""
    return f"{percent(share)} % {percent_interval(low, high)}"


def points(change: float) -> str:
    """+1.2: a difference of two shares in points, with its sign; a 0 has a plus."""
    return f"{100 * change + 0.0:+.1f}"


def points_interval(low: float, high: float) -> str:
    """[-0.5, +2.9]: the interval of a difference of two shares."""
    return f"[{points(low)}, {points(high)}]"


def p_words(p: float) -> str:
    """p < 0.001, p = 0.012, p = 0.34."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def count_words(count: int, thing: str) -> str:
    """1 run, 2 runs."""
    return f"{count:,} {thing}" + ("" if count == 1 else "s")


def duration(seconds: float) -> str:
    """58 s, 12 min 05 s, 3 h 12 min, 2 d 03 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def next_steps(commands: Mapping[str, str]) -> list[str]:
    """Commands to try, each with its purpose: lines for the end of an output."""
    width = max(map(len, commands), default=0)
    return ["next:", *(f"  {command:<{width}}  {purpose}" for command, purpose in commands.items())]


def _visible_character(character: str) -> str:
    # Python counts " " as the only printable space; the other spaces of Unicode are no danger either.
    if character.isprintable() or character in "\n\t" or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode("ascii")
