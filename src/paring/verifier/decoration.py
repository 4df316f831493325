"""What surrounds an answer and is no part of it: colours, bold marks, check marks, tags, a label before the value."""

import re

_TAG = re.compile(r"</?(?:answer|b|i|u|em|strong|center|span)>", re.IGNORECASE)
_MARKS = ("**", "__", "*", "`")
_ENDINGS = (
    *(r"\checkmark", r"\blacksquare", r"\square", r"\Box", r"\qed", r"\quad", r"\qquad", r"\newline", r"\hfill"),
    *("\\\\", "✓", "✔", "✅", "■", "□", "∎", r"\,", r"\;", r"\!"),
)
_PAINT = re.compile(
    r"\\(?:(?:textcolor|color|colorbox|fcolorbox ?\{[^{}]*\}) ?(?:\[[^\[\]]*\] ?)?\{[^{}]*\}"
    r"|(?:underline|uline|underbar|bbox|emph|textsl|textsc|bm|bold|boldsymbol|ensuremath|hl|pmb)(?= ?\{)"
    r"|(?:mathbf|textbf|mathit|textit)(?= ?\{[^{}]*\{)"
    r"|h?phantom ?\{[^{}]*\}"
    r"|(?:tiny|small|normalsize|large|Large|LARGE|huge|Huge|bfseries|itshape|centering)(?![A-Za-z])) ?"
)
_POINTER = re.compile(r"(?:\\(?:therefore|Rightarrow|implies|Longrightarrow|approx)(?![A-Za-z])|[∴⇒≈]|:?=(?!=)) ?")
_LABEL = re.compile(
    r"(?:(?:so|thus|hence|therefore|then)\b,? ?)?(?:(?:the|my|our) )?(?:(?:final|correct|right|exact|best) )*"
    r"(?:answer|result|solution|choice|option|ans)\b(?: ?(?:is|are|equals)\b ?:?| ?[:=]|(?= ?\(?(?-i:[A-J])\b)) ?"
    r"|[a-z][a-z ]{0,30}: ?(?=[-+$]?[0-9])",
    re.IGNORECASE,
)
_CHINESE_LABEL = re.compile(
    r"(?!.*(?:[不非无未没或约]|可能|也许|大概|至[少多]|[大小多少高低]于|除了|以[上下])[^0-9A-Za-z]*[是为选:：])"
    r"[\u4e00-\u9fff]{0,12}(?:[是为选]|答案|[\u4e00-\u9fff][:：]) ?[:：]? ?(?=[-+]?[0-9\\$(]|[A-J](?![A-Za-z]))"
)
_SENTENCE = re.compile(r"\\(?:text[a-z]*|mathrm|mbox) ?\{ ?([^{}]*)\}")
_BRACE = re.compile(r"\\[{}]|[{}]")


def undecorated(text: str) -> str:
    """The answer alone: `**18**`, `\\textcolor{blue}{18}`, `\\text{The answer is 18}` and `= 18` are 18."""
    if "<" in text:
        text = _TAG.sub("", text)
    inner = _unpainted(_without_ends(text))
    if pointer := _POINTER.match(inner):
        inner = inner[pointer.end() :]
    if (sentence := _SENTENCE.fullmatch(inner)) and (label := _LABEL.match(sentence[1])):
        inner = rf"\text{{{sentence[1][label.end() :]}}}"
    elif not inner.isascii() and (chinese := _CHINESE_LABEL.match(inner)):
        inner = inner[chinese.end() :]
    return _without_ends(inner)


def unlabelled(prose: str) -> str:
    """The value that a sentence such as `The answer is 7` gives, without line breaks written as `\\n`."""
    prose = re.sub(r"^(?:\s|\\n(?![A-Za-z]))+|(?:\s|\\n)+$", "", prose)
    label = _LABEL.match(prose)
    return prose[label.end() :] if label else prose


def _without_ends(text: str) -> str:
    """Without marks around it and what stands at its end only to look well."""
    text = text.strip()
    while text.endswith(_ENDINGS):
        text = text.removesuffix(next(ending for ending in _ENDINGS if text.endswith(ending))).rstrip()
    for mark in _MARKS if text.startswith(_MARKS) else ():
        if text.startswith(mark) and text.endswith(mark) and len(text) > 2 * len(mark):
            text = text[len(mark) : -len(mark)].strip()
    return text


def _unpainted(text: str) -> str:
    """Without commands of colour, size and weight, and the braces of what they paint."""
    if _PAINT.search(text) is None:
        return text
    closing = _closing_braces(text)
    gone: set[int] = set()
    for command in _PAINT.finditer(text):
        gone |= set(range(*command.span()))
        if (opening := command.end()) in closing:
            gone |= {opening, closing[opening]}
    return "".join(character for at, character in enumerate(text) if at not in gone) if gone else text


def _closing_braces(text: str) -> dict[int, int]:
    opened: list[int] = []
    closing = {}
    for brace in _BRACE.finditer(text):
        if brace[0] == "{":
            opened.append(brace.start())
        elif brace[0] == "}" and opened:
            closing[opened.pop()] = brace.start()
    return closing
