"""Read a whole text as an exact integer, strictly: for rewards whose answer has to be a number and nothing else."""

import re

MOST_DIGITS = 400
_LONGEST_INTEGER = 2 * MOST_DIGITS  # characters: room for separators, signs and an ending of zeros

# Full-width forms stand for their plain ones. Not NFKC, which would also read 5² as 52.
PLAIN = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {ord("−"): "-", ord("￥"): "¥", ord("￡"): "£"}
CURRENCY = "[$€£¥₹]"
GROUPED = r"[0-9]{1,3}(?:,[0-9]{3})+"
_INTEGER = re.compile(
    rf"(-|\+)? (?:\\?{CURRENCY})? (-|\+)? ({GROUPED}|[0-9]+) (?:\.0+)? (?:\\?{CURRENCY})? \.?", re.VERBOSE
)


def integer(text: str) -> int | None:
    """The integer that the whole text writes, exactly; None for everything else.

    Read: ASCII or full-width digits, plain or in threes with commas; one sign (-, +, U+2212), before or after a
    leading currency sign; a currency sign ($ \\$ € £ ¥ ₹) on either side; an ending of zeros (.0, .00); one full
    stop; white space around it all. Not read: other decimals, fractions, exponents, units, words, white space inside,
    commas in other places, and more than 400 digits.
    """
    text = text.strip()
    parts = _INTEGER.fullmatch(text.translate(PLAIN)) if len(text) <= _LONGEST_INTEGER else None
    if parts is None or (parts[1] and parts[2]):
        return None
    digits = parts[3].replace(",", "")
    if len(digits) > MOST_DIGITS:
        return None
    return -int(digits) if "-" in (parts[1], parts[2]) else int(digits)


def same_integer(text: str | None, gold: str) -> bool:
    """Whether both write an integer (see `integer`), and the same one."""
    value = None if text is None else integer(text)
    return value is not None and value == integer(gold)
