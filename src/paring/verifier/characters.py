"""One character for each meaning: full-width forms, signs, Chinese punctuation, superscripts. Never NFKC as a whole."""

import re
from unicodedata import category, decomposition, normalize

_SAME = {
    **dict.fromkeys(map(ord, "−–—‐‑‒﹣"), "-"),
    **{code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},
    **dict.fromkeys(map(ord, "、﹐"), ","),
    **dict.fromkeys(map(ord, "。．｡"), "."),
    **dict.fromkeys(map(ord, "　\u00a0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f"), " "),
    **dict.fromkeys(map(ord, "\u200b\u2060\ufeff\u00ad"), ""),
    **{ord(left): right for left, right in {"【": "[", "】": "]", "〔": "(", "〕": ")", "∶": ":", "′": "'"}.items()},
    **{ord(left): right for left, right in {"“": '"', "”": '"', "‘": "'", "’": "'", "￥": "¥", "￡": "£"}.items()},
    **{
        ord(sign): rf"\{name} "
        for sign, name in {
            **{"×": "times", "✕": "times", "÷": "div", "·": "cdot", "⋅": "cdot", "∙": "cdot", "±": "pm", "∓": "mp"},
            **{"π": "pi", "∞": "infty", "≤": "le", "≥": "ge", "⩽": "le", "⩾": "ge", "≦": "le", "≧": "ge", "≠": "ne"},
            **{"∪": "cup", "∩": "cap", "∈": "in", "∅": "emptyset", "≈": "approx", "∠": "angle", "θ": "theta"},
            **{"α": "alpha", "β": "beta", "γ": "gamma", "λ": "lambda", "ω": "omega", "φ": "varphi", "μ": "mu"},
            **{"ℝ": "mathbb{R}", "ℤ": "mathbb{Z}", "…": "ldots", "⋯": "ldots", "△": "triangle", "→": "to"},
        }.items()
    },
    ord("º"): "°",
    **{ord("℃"): "°C", ord("℉"): "°F", ord("〈"): "⟨", ord("〉"): "⟩", ord("Ω"): "Ω"},
}
_RAISED = dict(zip(map(ord, "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ"), "0123456789+-n", strict=True))
_LOWERED = dict(zip(map(ord, "₀₁₂₃₄₅₆₇₈₉₊₋"), "0123456789+-", strict=True))
_ROOT = re.compile("√ ?([0-9]+)")
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn")
_HARMLESS = "\n\r\t\f\v\u200b\u2060\ufeff\u00ad"
_LETTER_FORMS = ("<font>", "<wide>", "<narrow>")


def is_hidden(text: str) -> bool:
    """Whether the text holds what a reader cannot see or what reorders what he sees: controls, direction marks,
    halves of surrogate pairs, private characters. Line breaks and tabs are neither."""
    if text.isascii() and text.isprintable():
        return False
    return any(category(character) in _HIDDEN and character not in _HARMLESS for character in text)


def plain(text: str) -> str:
    """The text with one character for each meaning, in linear time.

    5² becomes 5^{2}, ½ \\frac{1}{2}, √ \\sqrt, full-width and mathematical letters and digits the ASCII ones. What has
    no such meaning, such as ① or Arabic digits, stays as it is and will be no number.
    """
    text = _ROOT.sub(r"\\sqrt{\1}", text.translate(_SAME)).replace("√", r"\sqrt")
    if text.isascii():
        return text
    pieces: list[str] = []
    script = ""
    for character in text:
        now = "^" if ord(character) in _RAISED else "_" if ord(character) in _LOWERED else ""
        if script and now != script:
            pieces.append("}")
        if now and now != script:
            pieces.append(now + "{")
        script = now
        pieces.append(_RAISED.get(ord(character)) or _LOWERED.get(ord(character)) or _meaning(character))
    return "".join([*pieces, "}"]) if script else "".join(pieces)


def _meaning(character: str) -> str:
    if character.isascii():
        return character
    form = decomposition(character)
    if form.startswith("<fraction>"):
        numerator, _, denominator = normalize("NFKC", character).partition("⁄")
        return rf"\frac{{{numerator}}}{{{denominator}}}" if denominator else character
    return normalize("NFKC", character) if form.startswith(_LETTER_FORMS) else character
