"""What a formula says of its letters besides its value: that they are real or whole, or that they are mapped."""

import re

_ANY_REAL = re.compile(
    r"^[a-z] ?\\in ?\\mathbb\{R\} ?,(?=.*[<>]|.*\\(?:le|ge|ne)(?![a-z]))|, ?[a-z] ?\\in ?\\mathbb\{R\}$"
)
_MAPPING = re.compile(r"^(?:([A-Za-z]) ?: ?)?([a-z]) ?\\mapsto ?")
_ANY_INTEGER = re.compile(
    r"(?<=[^\s({,])[\s,({]*(?:\\text\{(?:where|for|for all|for any)\} ?)?([a-z]) ?\\in ?\\mathbb\{Z\}[\s)}]*$"
)


def without_conditions(text: str) -> str:
    """A text in tidy spelling without `x \\in \\mathbb{R}` beside another condition, and without `k \\in \\mathbb{Z}`
    after a formula, whose letter is then named k. `f: x \\mapsto 2x` is f(x) = 2x."""
    text = _MAPPING.sub(lambda mapping: f"{mapping[1]}({mapping[2]}) = " if mapping[1] else "", text)
    if counted := _ANY_INTEGER.search(text):
        text = _counting_by_k(text[: counted.start()], counted[1])
    return _ANY_REAL.sub("", text)


def _counting_by_k(text: str, letter: str) -> str:
    """A formula for all whole values of a letter, with that letter named k."""
    if letter == "k" or re.search(r"(?<![\\A-Za-z])k(?![A-Za-z])", text):
        return text
    return re.sub(r"\\[A-Za-z]+|[A-Za-z]", lambda token: "k" if token[0] == letter else token[0], text)
