r"""The ways to write a number of choices, C(n, k), ^nC_k, C_n^k, and of arrangements, as \binom and factorials."""

import re

_SOME = r"[0-9]{1,4}|[a-z]|\{ ?[^{}()^_,]{1,12} ?\}"
_DIGITS = r"\{ ?[0-9]{1,4} ?\}|[0-9]{1,4}"
_CHOSEN = re.compile(
    rf"(?:\{{ ?\}} ?)?[\^_] ?(?P<n1>{_SOME}) ?(?P<c1>[CPA]) ?_ ?(?P<k1>{_SOME})"
    rf"|(?P<c2>[CPA]) ?_ ?(?P<n2>{_SOME}) ?\^ ?(?P<k2>{_SOME})"
    rf"|(?P<c3>[CPA]) ?\^ ?(?P<k3>{_DIGITS}) ?_ ?(?P<n3>{_DIGITS})"
    r"|(?<![0-9])(?P<n4>[0-9]{1,4}) ?(?P<c4>[CP]) ?(?P<k4>[0-9]{1,4})(?![0-9])"
    r"|(?<![A-Za-z])(?P<c5>[CP]) ?\( ?(?P<n5>[^{}()^_,]{1,12}), ?(?P<k5>[^{}()^_,]{1,12})\)"
)


def with_binomials(text: str) -> str:
    """A tidy text in which every number of choices or arrangements is one of `\\binom` or of factorials."""
    if not ("C" in text or "P" in text or "A" in text):
        return text
    return _CHOSEN.sub(_counted, text)


def _counted(chosen: re.Match[str]) -> str:
    found = {name[0]: value.strip("{ }") for name, value in chosen.groupdict().items() if value is not None}
    whole, some = found["n"], found["k"]
    if found["c"] == "C":
        return rf"\binom{{{whole}}}{{{some}}}"
    return rf"\frac{{{_factorial(whole)}}}{{({whole} - {some})!}}"


def _factorial(number: str) -> str:
    return f"{number}!" if number.isalnum() else f"({number})!"
