"""Find the answer in a model's text, and read it as an exact integer.

The text is hostile: nothing here evaluates it, raises on it, or takes more than linear time.
"""

import re

MOST_DIGITS = 400
_LONGEST_INTEGER = 2 * MOST_DIGITS  # characters: room for separators, signs and an ending of zeros

# Full-width forms stand for their plain ones. Not NFKC, which would also read 5² as 52.
_PLAIN = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {ord("−"): "-", ord("￥"): "¥", ord("￡"): "£"}
_CURRENCY = "[$€£¥₹]"
_GROUPED = r"[0-9]{1,3}(?:,[0-9]{3})+"
_NUMBER = re.compile(
    rf"""(?:(?<![\w)\]}}])[-+])?  {_CURRENCY}?
         (?:(?<![A-Za-z0-9])  (?:{_GROUPED}(?![0-9])|[0-9]+)  (?:\.[0-9]+)?  |  (?<!\.)\.[0-9]+)
         (?:[eE][-+]?[0-9]+)?""",
    re.VERBOSE,
)
_INTEGER = re.compile(
    rf"(-|\+)? (?:\\?{_CURRENCY})? (-|\+)? ({_GROUPED}|[0-9]+) (?:\.0+)? (?:\\?{_CURRENCY})? \.?", re.VERBOSE
)


def last_number(text: str) -> str | None:
    """The last number of the text as it is written there (full-width forms made plain), or None.

    A number is a run of digits, or digits in threes with commas (1,234), with its decimals, exponent and currency
    sign. A minus or plus belongs to it unless a word, a digit or a closing bracket touches it from the left: 7-3
    gives 3, and = -3 gives -3. Digits that follow a Latin letter are part of a name (m2, x1). Other arithmetic is
    not read: 1/2 gives 2.
    """
    last = None
    for found in _NUMBER.finditer(text.translate(_PLAIN)):
        last = found
    return last and last[0]


def tagged_answer(text: str) -> str | None:
    """What stands in the last complete `<answer> … </answer>`, stripped; None if no such pair is in the text.

    Of the opening tags with a closing tag somewhere after them the last one counts, up to its next closing tag:
    of nested pairs the innermost, and an opening tag that is never closed is ignored. Tags are in small letters.
    """
    opening = text.rfind("<answer>", 0, max(text.rfind("</answer>"), 0))
    if opening < 0:
        return None
    start = opening + len("<answer>")
    return text[start : text.find("</answer>", start)].strip()


def marked_answer(text: str) -> str | None:
    """What follows the last `####` on its line, stripped: the ending of GSM8K's solutions. None without a mark."""
    _, mark, rest = text.rpartition("####")
    return rest.partition("\n")[0].strip() if mark else None


def integer(text: str) -> int | None:
    """The integer that the whole text writes, exactly; None for everything else.

    Read: ASCII or full-width digits, plain or in threes with commas; one sign (-, +, U+2212), before or after a
    leading currency sign; a currency sign ($ \\$ € £ ¥ ₹) on either side; an ending of zeros (.0, .00); one full
    stop; white space around it all. Not read: other decimals, fractions, exponents, units, words, white space inside,
    commas in other places, and more than 400 digits.
    """
    text = text.strip()
    found = _INTEGER.fullmatch(text.translate(_PLAIN)) if len(text) <= _LONGEST_INTEGER else None
    if found is None or (found[1] and found[2]):
        return None
    digits = found[3].replace(",", "")
    if len(digits) > MOST_DIGITS:
        return None
    return -int(digits) if "-" in (found[1], found[2]) else int(digits)


def same_integer(text: str | None, gold: str) -> bool:
    """Whether both write an integer (see `integer`), and the same one."""
    value = None if text is None else integer(text)
    return value is not None and value == integer(gold)
