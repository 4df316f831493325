"""Coverage-guided fuzzing of the verifier's own process: extraction, normalisation, kinds, comparison, refusals.

    pip install atheris; python tools/fuzz_verifier.py CORPUS -max_total_time=3600 -max_len=400 -timeout=60

It ends at the first text on which the verifier raises, takes long, says two things of one text, or does not take a
gold for itself. atheris is no dependency of paring's: it needs a clang runtime, and an hour.
"""

import sys

import atheris

with atheris.instrument_imports(include=["paring.verifier"]):
    from paring.verifier import Gold
    from paring.verifier.extraction import final_answer
    from paring.verifier.verdicts import NeedsAlgebra, Verdict, decide

GOLDS = [
    *["5", "-0.25", r"\frac{1}{2}", r"25\%", "C", "ACD", r"\text{Evelyn}", "2112_6", "1:9", "1, -2", r"\{1, 2\}"],
    *["(1, 2)", r"(-\infty, 3) \cup [4, 5)", "x > 3", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", "y = 2x + 3", "24;112"],
    *[
        r"1 \pm \sqrt{19}",
        r"36 \text{ cm}^2",
        "第一象限",
        r"x \geq -3, x \neq 0",
        r"\{x | x < 1\}",
        r"\sqrt{2}",
        "1,234",
    ],
    *[
        "10:30",
        r"\text{no solution}",
        r"\mathbb{R} \setminus \{1\}",
        "(D) Alina",
        r"\langle 1, 2 \rangle",
        "f(x) = 2x + 1",
    ],
    *[r"\sum_{k=1}^{n} k", "|AB| = 5", "x = 3, y = 4", r"2\frac{1}{2}", r"3 \mathrm{~N}", r"\text{Yes}", "2^{2^n}"],
]
PARTS = [
    *r"\boxed{ } <answer> </answer> </think> \frac \dfrac12 \sqrt { \{ \} ( ) [ ] , ; : = < \le \ne \in \cup".split(),
    *r"\pm \text{ \mathrm{ \begin{pmatrix} \end{pmatrix} & \\ ^ _ ^{ _{ ! / . - + % \% $ and or 且 或 分之 万".split(),
    *"元 cm ° ½ ² √ − ５ 0 1 23 4567 x y \\left \\right \\overline{ \\cdot \\times 10^ \\infty \\pi e |".split(),
    *r"\over \choose \color{red}{ \textcolor{a}{ ** \mathbf{ \exp \log \gcd( \setminus \mathbb{R} != <=".split(),
    *r"\sum_{k=1}^{n} x_1 x_2 \ldots x_n \langle \rangle \begin{cases} f( |AB| \pmod{7} \boxed 10:30 \Omega".split(),
    *[" ", " and ", " or ", "\u202e", "\u200b", "\x00", "٣", "A", "B.", "Answer: ", "The answer is ", "p.m.", " dozen"],
]


def text_of(data: atheris.FuzzedDataProvider) -> str:
    """Pieces of mathematics, with free text between some of them."""
    pieces = []
    while data.remaining_bytes() > 1 and len(pieces) < 120:
        choice = data.ConsumeIntInRange(0, len(PARTS))
        pieces.append(PARTS[choice] if choice < len(PARTS) else data.ConsumeUnicode(4))
    return "".join(pieces)


def verdict(gold: Gold, text: str) -> Verdict | NeedsAlgebra:
    try:
        return decide(gold, text)
    except NeedsAlgebra as needed:
        return NeedsAlgebra(needed.answer)


def one_input(given: bytes) -> None:
    data = atheris.FuzzedDataProvider(given)
    gold = Gold.read(GOLDS[data.ConsumeIntInRange(0, len(GOLDS) - 1)])
    text = text_of(data)
    for tried in (text, rf"\boxed{{{text}}}"):
        first, again = verdict(gold, tried), verdict(gold, tried)
        if repr(first) != repr(again):
            raise AssertionError(f"two verdicts on {tried!r}: {first}, {again}")
    try:
        own = Gold.read(text)
    except ValueError:
        return
    if final_answer(rf"\boxed{{{text}}}") == text.strip():
        found = verdict(own, rf"\boxed{{{text}}}")
        if not (isinstance(found, Verdict) and found.correct):
            raise AssertionError(f"{own} is not itself: {found}")


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
