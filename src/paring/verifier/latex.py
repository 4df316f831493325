"""One spelling for each piece of LaTeX, so that comparison has one form to read. Linear time; nothing is evaluated."""

import re
from collections import defaultdict
from functools import cache
from itertools import pairwise

from paring.verifier.characters import plain
from paring.verifier.conditions import without_conditions
from paring.verifier.decoration import undecorated

_SPELLINGS = {
    **dict.fromkeys(("dfrac", "tfrac", "cfrac", "nicefrac", "sfrac"), r"\frac"),
    **dict.fromkeys(("dbinom", "tbinom"), r"\binom"),
    **dict.fromkeys(("leq", "leqslant", "leqq"), r"\le "),
    **dict.fromkeys(("geq", "geqslant", "geqq"), r"\ge "),
    **{"neq": r"\ne ", "varnothing": r"\emptyset ", "lt": "<", "gt": ">", "colon": ":", "degree": "°"},
    **{"pounds": "£", "euro": "€", "yen": "¥", "textdollar": "$"},
    **{"lg": r"\log_{10} ", "exp": r"\exp ", "bar": r"\overline "},
    **{"varphi": r"\phi ", "varepsilon": r"\epsilon ", "vartheta": r"\theta "},
    **{"langle": "⟨", "rangle": "⟩", "land": ","},
    **dict.fromkeys(("smallsetminus", "backslash", "setminus"), r"\setminus "),
    **dict.fromkeys(("arccot", "arcctg"), r"\cot^{-1} "),
    **{"lbrace": r"\{", "rbrace": r"\}", "lbrack": "[", "rbrack": "]"},
    **dict.fromkeys(("mid", "vert", "lvert", "rvert"), "|"),
    **dict.fromkeys(("ldots", "cdots", "dots", "dotsc"), r"\ldots "),
    **dict.fromkeys(("quad", "qquad", "thinspace", "enspace", "space", "hfill", "nobreak"), " "),
    **dict.fromkeys(("left", "right", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr", "limits"), ""),
    **dict.fromkeys(("displaystyle", "textstyle", "scriptstyle", "boldsymbol", "rm", "bf", "it", "tt"), ""),
}
_TEXT_COMMANDS = "text|textbf|textit|textrm|texttt|textsf|textnormal|mbox|hbox|mathrm|mathbf|mathit|mathsf|operatorname"
_COMMAND = re.compile(r"\\([A-Za-z]+) ?")
_SUBSTITUTIONS = [
    (re.compile(r"\\\\(?:\[[^\[\]]{0,20}\])?"), r"\\cr "),
    (re.compile(r",\s*\\!\s*"), ","),
    (re.compile(r"(?<=[0-9])(?:\\,|\{,\}|\\;)(?=[0-9]{3}(?![0-9]))"), ","),
    (re.compile(r"\\!"), ""),
    (re.compile(r"\\[()\[\]]|(?<!\\)\$"), " "),
    (re.compile(r"\\[,;: ]|[~\s]"), " "),
    (re.compile(r"\\([%$&#_])"), r"\1"),
    (re.compile(r"\^ ?\{ ?\\circ ?\}|\^ ?\\circ(?![A-Za-z])"), "°"),
    (re.compile(r"\{,\}"), ","),
]
_BLANK = re.compile(r"[~\s]")
_RELATION = re.compile(r"[<>]=|(?<![0-9)\]}!])!=")  # 5!=120 is a factorial
_RELATIONS = {"<=": r"\le ", ">=": r"\ge ", "!=": r"\ne "}
_TEXT = re.compile(rf"\\(?:{_TEXT_COMMANDS}) ?\{{([^{{}}]*)\}}")
_FUNCTION = re.compile(
    r"(?<![\\A-Za-z{])(sqrt|ln|log|exp|sin|cos|tan|cot|sec(?! ?$)|csc|arcsin|arccos|arctan|pi|gcd|lcm|infty)"
    r"(?![A-Za-z])"
)
_FUNCTION_NAMES = set("sin cos tan cot sec csc ln log exp arcsin arccos arctan max min gcd lcm det".split())
_AND = re.compile(
    r"\\text\{(?:and|且|和|与|及|以及|并且)\}|(?<=[^A-Za-z]) and (?=[^ ])"
    r"|(?<=[0-9)\]}])and(?=[-0-9(\[\\])|并且|以及|[且和与]"
)
_OR = re.compile(r"\\text\{(?:or|或|或者)\}|(?<=[^A-Za-z]) or (?=[^ ])|(?<=[0-9)\]}])or(?=[-0-9(\[\\])|或者?")
_WANTS_GROUPS = re.compile(r"\\(frac|sqrt|binom|dot|overline|mathbb)(?![A-Za-z])|\^(?= ?\()")
_INFIX = re.compile(r"\\(over|choose)(?![A-Za-z]) ?")
_NUMBER_FIRST = re.compile(r"([-+]?[$€£¥]?[0-9][0-9.,]*(?:/[0-9]+)?) ((?!(?:and|or)\b)[^\W\d_][^\d]*)")
_ONE_TOKEN = re.compile(r"\\[A-Za-z]+|[0-9A-Za-z(]")
_TAKES_GROUP = {"frac", "sqrt", "binom", "overline", "dot", "mathbb", "begin", "end", *_TEXT_COMMANDS.split("|")}
_WRITTEN_OUT = re.compile(
    r"([a-z]) ?_ ?(?:1|\{1\})(?P<sign> ?[+*]?| ?\\cdot) ?\1 ?_ ?(?:2|\{2\})(?:(?P=sign) ?\1 ?_ ?(?:3|\{3\}))?"
    r"(?P=sign) ?\\ldots ?(?P=sign) ?\1 ?_ ?\{?([a-z])\}?"
)
_PLAIN_NUMBER = re.compile(r"-?(?:[0-9]+(?:\.[0-9]+)?|\\d?frac\{[0-9]+\}\{[0-9]+\})")
_BRACKET = re.compile(r"[()\[\]{}⟨⟩]")
_UNIT_LETTERS = "mghlst"
_NO_UNIT_LETTERS = "eid"
MOST_INFIX = 8
"""Fractions with `\\over` in one answer that are read."""
_HAS_LETTER = re.compile(r"[^\W\d_]")


def tidy(text: str) -> str:
    """An answer in the one spelling that comparison reads.

    Math delimiters, sizes and spacing go; `\\dfrac12` is `\\frac{1}{2}`, `\\sqrt5` is `\\sqrt{5}`, degrees are `°`;
    `\\mbox` and its kin are `\\text`, which stays only around words; between answers, and 且 are commas, or 或 `\\lor`;
    commands that end before a letter keep one space. An ending full stop goes.
    """
    if _PLAIN_NUMBER.fullmatch(text):  # most answers
        return text.replace(r"\dfrac", r"\frac")
    text = undecorated(plain(text))
    if "\\" in text or "$" in text or "{,}" in text:
        for pattern, replacement in _SUBSTITUTIONS:
            text = pattern.sub(replacement, text)
    elif "~" in text or not text.isprintable():
        text = _BLANK.sub(" ", text)
    text = (
        _RELATION.sub(lambda sign: _RELATIONS[sign[0]], text)
        .replace("**", "^")
        .replace("operatorname*", "operatorname")
    )
    text = _COMMAND.sub(_spelled, text)
    text = _TEXT.sub(_text, text)
    text = _FUNCTION.sub(r"\\\1 ", text).replace(r"\exp ", "e^")
    text = re.sub(r" +", " ", _prefixed(text) if r"\over" in text or r"\choose" in text else text)
    if "and" in text or "or" in text or not text.isascii():
        text = _OR.sub(r" \\lor ", _AND.sub(",", text))
    text = re.sub(r",(?:\s*,)+", ",", text) if "," in text else text
    text = grouped(re.sub(r" +", " ", _WRITTEN_OUT.sub(_summed, text) if "ldots" in text else text))
    text = re.sub(r"\\(frac|sqrt|binom|dot|overline|mathbb) \{", r"\\\1{", text)
    return _without_shell(without_conditions(text) if r"\mathbb" in text or r"\mapsto" in text else text)


def grouped(text: str) -> str:
    """Braces around the arguments of `\\frac`, `\\sqrt`, `\\binom` that have none: `\\frac1{72}`, `\\sqrt(5)`."""
    closing = closings(text)
    added: defaultdict[int, str] = defaultdict(str)
    for command in _WANTS_GROUPS.finditer(text):
        at = _after_spaces(text, command.end())
        if text[at : at + 1] == "[" and at in closing:
            at = _after_spaces(text, closing[at] + 1)
        for _ in range(2 if command[1] in ("frac", "binom") else 1):
            if command[1] is None and at not in closing:
                break
            if text[at : at + 1] == "{" and at in closing:
                end = closing[at] + 1
            elif token := _ONE_TOKEN.match(text, at):
                end = closing[at] + 1 if token[0] == "(" and at in closing else token.end()
                added[at] += "{"
                added[end] = "}" + added[end]
            else:
                break
            at = _after_spaces(text, end)
    cuts = sorted({0, *added, len(text)})
    return "".join(added.get(start, "") + text[start:end] for start, end in pairwise([*cuts, len(text)]))


def _prefixed(text: str) -> str:
    """`{a \\over b}` is `\\frac{a}{b}`, `{n \\choose k}` a binomial: of all that their braces hold, or of the whole."""
    for _ in range(MOST_INFIX):
        infix = _INFIX.search(text)
        if infix is None:
            break
        spans = ((start, end) for start, end in closings(text).items() if text[start] == "{")
        around = [(start + 1, end) for start, end in spans if start < infix.start() < end]
        start, end = max(around, default=(0, len(text)))
        command = {"over": "frac", "choose": "binom"}[infix[1]]
        above, below = text[start : infix.start()].strip(), text[infix.end() : end].strip()
        text = rf"{text[:start]}\{command}{{{above}}}{{{below}}}{text[end:]}"
    return text


def closings(text: str) -> dict[int, int]:
    """From where each bracket opens to where it closes. Kinds may differ, as in (0, 1]; `\\{` counts as a bracket."""
    opened: list[int] = []
    closing = {}
    for bracket in _BRACKET.finditer(text):
        if bracket[0] in "([{⟨":
            opened.append(bracket.start())
        elif opened:
            closing[opened.pop()] = bracket.start()
    return closing


def split_outside(text: str, separator: re.Pattern[str]) -> list[str]:
    """The pieces, stripped, between separators that stand outside of all brackets."""
    if separator.search(text) is None:
        return [text.strip()]
    if _BRACKET.search(text) is None:
        cuts = [0, *(end for cut in separator.finditer(text) for end in cut.span()), len(text)]
        return [text[start:end].strip() for start, end in zip(cuts[::2], cuts[1::2], strict=True)]
    pieces, depth, start = [], 0, 0
    for token in _brackets_and(separator.pattern).finditer(text):
        if token["open"]:
            depth += 1
        elif token["close"]:
            depth = max(0, depth - 1)
        elif depth == 0:
            pieces.append(text[start : token.start()].strip())
            start = token.end()
    return [*pieces, text[start:].strip()]


@cache
def _brackets_and(separator: str) -> re.Pattern[str]:
    return re.compile(rf"(?P<open>[(\[{{⟨])|(?P<close>[)\]}}⟩])|(?P<separator>{separator})")


def compact(text: str) -> str:
    """Without the spaces that mean nothing, so that the same text is the same string."""
    return re.sub(r"(?<![A-Za-z]) | (?![A-Za-z])", "", text)


def without_text(text: str) -> str:
    """`\\text{ … }` as the words themselves, with spaces around."""
    return _TEXT.sub(r" \1 ", text)


def _summed(terms: re.Match[str]) -> str:
    """Terms from the first to the last as a sum or a product: p_1 p_2 \\ldots p_n."""
    operator = "sum" if "+" in terms["sign"] else "prod"
    return rf"\{operator} _{{i=1}}^{{{terms[3]}}} {terms[1]}_i"


def _spelled(command: re.Match[str]) -> str:
    name = command[1]
    if name in _SPELLINGS:
        return _SPELLINGS[name]
    return command[0] if command[0].endswith(" ") or name in _TAKES_GROUP else command[0] + " "


def _text(command: re.Match[str]) -> str:
    """Words stay marked as words, and so do letters that are units; numbers, and other letters set upright, do not.
    `\\text{18 dollars}` is a number and a word."""
    content = command[1].strip()
    if content.lower() == "infinity":
        return r"\infty "
    if content in _FUNCTION_NAMES and not (content in ("min", "sec") and _ends_number(command)):
        return f"\\{content} "
    if number := _NUMBER_FIRST.fullmatch(content):
        return rf" {number[1]} \text{{{number[2]}}}"
    upright = len(content) == 1 and not command[0].startswith(r"\text") and not _is_unit(command, content)
    return rf"\text{{{content}}}" if content and not upright and _HAS_LETTER.search(content) else f" {content} "


def _is_unit(command: re.Match[str], letter: str) -> bool:
    """Whether a letter set upright is a unit: one for lengths and times anywhere, another where it ends a number or
    stands apart (`3 \\mathrm{~N}`)."""
    is_roman = command[0].startswith((r"\mathrm", r"\textrm"))
    ends = is_roman and letter not in _NO_UNIT_LETTERS and _ends_number(command)
    return letter in _UNIT_LETTERS or command[1].startswith(" ") or ends


def _ends_number(command: re.Match[str]) -> bool:
    before, after = command.string[: command.start()].rstrip()[-1:], command.string[command.end() :].lstrip()[:1]
    return (before.isdigit() or before in ("}", "/", ".")) and after in ("", "/", "^", "}", "\\", ".")


def _without_shell(text: str) -> str:
    """Without the full stop at the end, spaces around, and braces around all of it; boxes within are opened."""
    text = text.replace(r"\boxed", "").replace(r"\fbox", "")
    while True:
        text = text.strip(" ,;")
        text = text.removesuffix(".") if not text.endswith("...") else text
        if not text.startswith("{") or closings(text).get(0) != len(text) - 1:
            return text.strip()
        text = text[1:-1]


def _after_spaces(text: str, at: int) -> int:
    while text[at : at + 1] == " ":
        at += 1
    return at
