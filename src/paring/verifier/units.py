"""The ending of a number: a unit, a percent sign, a word that scales it; and words that are no unit."""

import re
from dataclasses import dataclass

from paring.verifier.latex import without_text

_NAMES = {
    **{"mm": "mm millimeter millimetre 毫米", "cm": "cm centimeter centimetre 厘米", "dm": "dm decimeter 分米"},
    **{"m": "m meter metre 米", "km": "km kilometer kilometre 千米 公里", "in": "in inch inches", "ft": "ft foot feet"},
    **{"yd": "yd yard", "mi": "mi mile", "mg": "mg milligram 毫克", "g": "g gm gram 克", "kg": "kg kilogram 千克 公斤"},
    **{"t": "ton tonne 吨", "lb": "lb lbs pound", "oz": "oz ounce", "ml": "ml milliliter millilitre 毫升"},
    **{"l": "l liter litre 升", "s": "s sec second 秒", "min": "min minute 分钟", "h": "h hr hour 小时 时"},
    **{"day": "day 天 日", "week": "week 周 星期", "month": "month 月 个月", "year": "year 年 岁"},
    **{"km/h": "km/h kmh kph", "mph": "mph", "m/s": "m/s", "am": "am a.m", "pm": "pm p.m", "°": "° degree 度"},
    **{"dollar": "dollar usd", "cent": "cent", "yuan": "yuan rmb 元"},
}
_KNOWN = {name: unit for unit, names in _NAMES.items() for name in names.split()}
_SCALES = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12, "万": 4, "百万": 6, "千万": 7, "亿": 8}
_SCALE = re.compile(rf"({'|'.join(sorted(_SCALES, key=len, reverse=True))})(?![a-z])")
_CURRENCIES = ("$", "€", "£", "¥", "₹")
_PERCENT = re.compile(r"%|percent|per cent|percentage points?")
_SQUARE = re.compile(r"^(?:square|sq\.?|平方) ?|^(?:cubic|cu\.?|立方) ?")
_POWER = re.compile(r" ?\^ ?\{? ?([23]) ?\}?$|(?<=[a-z])([23])$")
_WORDS = re.compile(r"[a-z][a-z'./ -]{0,60}")
_CHINESE_WORDS = re.compile(r"(?!.*(?:分之|左右|以[上下内外]))[\u4e00-\u9fff]{1,6}(?<![多余半])")
# What turns a number into another answer, or a list, is no unit.
_NO_UNIT = re.compile(
    r"\b(?:and|or|not|no|to|than|least|most|more|less|about|approximately|times|plus|minus|half|dozen|hundred|is|but|squared|cubed|factorial|over|divided)\b"
    r"|[零一二三四五六七八九十百千点半不非无没或约几]"
)


@dataclass(frozen=True, slots=True)
class Suffix:
    """The ending of a number: a factor that scales it, whether it is a percent sign, and its unit if that is known."""

    scale: int = 1
    percent: bool = False
    unit: str = ""


def read_suffix(text: str) -> Suffix | None:
    """The meaning of a number's ending, in tidy spelling; None if it is no unit but a part of another answer.

    A known unit may touch the number, if it has two letters or is marked as text (5cm, 5 \\text{m}); 5m is a
    product. Other words count as a unit if they are marked as text or are a word of at least four letters.
    """
    stripped = text.strip()
    if not stripped or stripped in _CURRENCIES:
        return Suffix()
    words = without_text(stripped).strip(" .()").lower()
    if _PERCENT.fullmatch(words):
        return Suffix(percent=True)
    scale = 1
    if scaled := _SCALE.match(words):
        scale, words = 10 ** _SCALES[scaled[1]], words[scaled.end() :].strip()
    if not words:
        return Suffix(scale)
    base = _POWER.sub("", words)
    marked = stripped.startswith(r"\text") or words[0] == "°"
    if unit := known_unit(words):
        is_letter = base.isascii() and len(base) == 1
        return Suffix(scale, unit=unit) if marked or not is_letter else None
    if _NO_UNIT.search(words):
        return None
    if _CHINESE_WORDS.fullmatch(words):
        return Suffix(scale)
    spaced = text.startswith(" ") and max(map(len, base.split()), default=0) >= 4
    return Suffix(scale) if (marked or spaced) and _WORDS.fullmatch(base) else None


def known_unit(words: str) -> str:
    """The one name of a known unit with its power (`square feet` is `ft^2`), or "" of an unknown one."""
    power = _POWER.search(words)
    square = _SQUARE.match(words)
    exponent = (power[1] or power[2]) if power else "3" if square and square[0][0] in "c立" else "2" if square else ""
    base = _SQUARE.sub("", _POWER.sub("", words)).strip()
    name = _KNOWN.get(base) or _KNOWN.get(base.removesuffix("s")) or ""
    return f"{name}^{exponent}" if name and exponent else name
