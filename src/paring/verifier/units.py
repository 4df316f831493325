"""The ending of a number: a unit, a percent sign, a word that scales it, a modulus."""

import re
from dataclasses import dataclass

from paring.verifier.latex import without_text
from paring.verifier.phrases import changes_number, says_rounded

_NAMES = {
    **{"mm": "mm millimeter millimetre 毫米", "cm": "cm centimeter centimetre 厘米", "dm": "dm decimeter 分米"},
    **{"m": "m meter metre 米", "km": "km kilometer kilometre 千米 公里", "in": "in inch inches", "ft": "ft foot feet"},
    **{"yd": "yd yard", "mi": "mi mile", "mg": "mg milligram 毫克", "g": "g gm gram 克", "kg": "kg kilogram 千克 公斤"},
    **{"t": "ton tonne 吨", "lb": "lb lbs pound", "oz": "oz ounce", "ml": "ml milliliter millilitre 毫升"},
    **{"l": "l liter litre 升", "s": "s sec second 秒", "min": "min minute 分钟", "h": "h hr hour 小时 时"},
    **{"day": "day 天 日", "week": "week 周 星期", "month": "month 月 个月", "year": "year 年 岁"},
    **{"km/h": "km/h kmh kph", "mph": "mph mi/h", "am": "am a.m", "pm": "pm p.m", "°": "° degree deg 度"},
    **{"dollar": "dollar usd $", "cent": "cent", "yuan": "yuan rmb 元", "ms": "ms millisecond", "nm": "nm nanometer"},
    **{"°C": "°c degreecelsius degreescelsius celsius", "°F": "°f degreefahrenheit degreesfahrenheit fahrenheit"},
    **{"N": "newton", "J": "joule", "W": "watt", "Pa": "pascal", "Hz": "hertz", "V": "volt", "A": "amp ampere"},
    **{"K": "kelvin", "C": "coulomb", "T": "tesla", "F": "farad", "H": "henry henries", "Wb": "weber", "Ω": "ohm Ω"},
    **{"mol": "mol mole", "eV": "electronvolt", "kJ": "kilojoule", "kW": "kilowatt", "kN": "kilonewton"},
    **{"rad": "rad radian", "cal": "cal calorie", "kcal": "kcal kilocalorie", "atm": "atm atmosphere", "bar": "bar"},
}
_KNOWN = {name: unit for unit, names in _NAMES.items() for name in names.split()}
_SYMBOLS = set(
    r"N J W V A K C T F H Pa Hz Wb Ω \Omega eV keV MeV GeV kJ MJ kN kW MW kPa MPa kHz MHz GHz mA mV kV mol L mL".split()
)
"""Units whose letters are capitals, as they are written: T is tesla, t a tonne."""
_SCALES = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12, "万": 4, "百万": 6, "千万": 7, "亿": 8}
_SCALE = re.compile(rf"({'|'.join(sorted(_SCALES, key=len, reverse=True))})s?(?![a-z])")
_CURRENCIES = ("$", "€", "£", "¥", "₹")
_PERCENT = re.compile(r"%|percent|per cent|pct|p\.c|percentage(?: points?)?")
_SQUARE = re.compile(r"^(?:square|sq\.?|平方) ?|^(?:cubic|cu\.?|立方) ?")
_POWER = re.compile(r" ?\^ ?\{? ?(-?[1-9]) ?\}?$|(?<=[a-zA-Z])([23])$")
_FACTORS = re.compile(r" ?(/|\\cdot |\*|·) ?")
_FRACTION = re.compile(r"\\frac ?\{([^{}]*)\} ?\{((?:[^{}]|\{[^{}]*\})*)\}")
_UPRIGHT = re.compile(r"\\(?:text|mathrm) ?\{((?:[^{}]|\{[^{}]*\})*)\}")
_MODULUS = re.compile(r"\(? ?(?:\\p?mod|\\bmod) ?\{? ?([0-9]{1,9}) ?\}? ?\)?|\( ?mod ?([0-9]{1,9}) ?\)")
_WORDS = re.compile(r"[a-z][a-z'./ -]{0,60}")
_CHINESE_WORDS = re.compile(r"(?!.*(?:分之|左右|以[上下内外]))[\u4e00-\u9fff]{1,6}(?<![多余半])")
_NO_CHINESE_UNIT = re.compile("[零一二三四五六七八九十百千点半不非无没或约几]")


@dataclass(frozen=True, slots=True)
class Suffix:
    """The ending of a number: a factor that scales it, whether it is a percent sign, and its unit if that is known."""

    scale: int = 1
    percent: bool = False
    unit: str = ""

    @property
    def is_class(self) -> bool:
        """Whether many numbers are meant, all those that are one modulo something."""
        return self.unit.startswith("mod ")


def read_suffix(text: str) -> Suffix | None:
    """The meaning of a number's ending, in tidy spelling; None if it is no unit but a part of another answer.

    A known unit may touch the number, if it has two letters or is marked as text (5cm, 5 \\text{m}), and its symbol may
    stand after a space (5 m); 5m is a product. Other words count as a unit if they are marked as text or have at least
    four letters, and none of them makes the number another one (verifier/phrases.py).
    """
    stripped = text.strip()
    if not stripped or stripped in _CURRENCIES:
        return Suffix()
    if stripped[0] == "/":
        of = read_suffix(stripped[1:])
        return None if of is None or of.percent or of.is_class else Suffix(unit=of.unit and f"/{of.unit}")
    if modulus := _MODULUS.fullmatch(stripped):
        return Suffix(unit=f"mod {modulus[1] or modulus[2]}")
    written = " ".join(_without_marks(stripped).strip(" .()").split())
    words = written.lower()
    if _PERCENT.fullmatch(words):
        return Suffix(percent=True)
    if says_rounded(words):
        return Suffix()
    scale = 1
    if scaled := _SCALE.match(words):
        scale, words, written = 10 ** _SCALES[scaled[1]], words[scaled.end() :].strip(), written[scaled.end() :].strip()
    if not words:
        return Suffix(scale)
    base = _POWER.sub("", words)
    marked = stripped.startswith(r"\text") or words[0] == "°"
    if unit := known_unit(written):
        is_letter = base.isascii() and len(base) == 1 and not text.startswith(" ")
        return Suffix(scale, unit=unit) if marked or not is_letter else None
    if changes_number(words) or _NO_CHINESE_UNIT.search(words):
        return None
    if _CHINESE_WORDS.fullmatch(words):
        return Suffix(scale)
    is_long = max(map(len, base.split()), default=0) >= 4
    return Suffix(scale) if (marked or is_long) and _WORDS.fullmatch(base) else None


def _without_marks(text: str) -> str:
    """A unit without the commands that set it: `\\frac{\\text{km}}{\\text{h}}` is km/h."""
    return _FRACTION.sub(r" \1/\2 ", _UPRIGHT.sub(r" \1 ", without_text(text)))


def known_unit(words: str) -> str:
    """The one name of a known unit with its powers (`square feet` is `ft^2`), or "" of an unknown one."""
    if len(factors := _FACTORS.split(words)) > 1:
        return _joined([known_unit(factor) for factor in factors[::2]], factors[1::2])
    power = _POWER.search(words)
    square = _SQUARE.match(words.lower())
    exponent = (power[1] or power[2]) if power else "3" if square and square[0][0] in "c立" else "2" if square else ""
    base = _POWER.sub("", words).strip()
    if base in _SYMBOLS:
        name = {"L": "l", "mL": "ml", r"\Omega": "Ω"}.get(base, base)
    else:
        base = _SQUARE.sub("", base.lower()).replace("° ", "°").replace("degrees ", "degrees")
        name = _KNOWN.get(base) or _KNOWN.get(base.removesuffix("s")) or ""
    return f"{name}^{exponent}" if name and exponent not in ("", "1") else name


def _joined(units: list[str], signs: list[str]) -> str:
    """The one name of a product: `km/h` also of `km h^-1`. "" if one of the units is unknown."""
    if not all(units):
        return ""
    above, below = [], []
    for sign, unit in zip(("*", *signs), units, strict=True):
        base, _, exponent = unit.partition("^")
        is_below = (sign == "/") != exponent.startswith("-")
        power = exponent.removeprefix("-")
        (below if is_below else above).append(f"{base}^{power}" if power not in ("", "1") else base)
    return "/".join(["*".join(sorted(above)), *sorted(below)])
