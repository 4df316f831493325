"""Answers to try a verifier with: right ones in many spellings, wrong ones that look right, and hostile ones."""

from dataclasses import dataclass

CANARY = "paring-canary"
"""The file that code in a hostile answer would make in the working folder, were it run."""


@dataclass(frozen=True, slots=True)
class Trial:
    """An answer to a gold, and whether it is right by docs/verifier.md."""

    gold: str
    answer: str
    is_right: bool


def trials() -> list[Trial]:
    """Right and wrong answers to golds of the kinds that rewards of one's own are most often written for."""
    return [
        Trial(gold, answer, is_right)
        for gold, right, wrong in _ANSWERS
        for is_right, answers in ((True, right), (False, wrong))
        for answer in answers
    ]


_ANSWERS: list[tuple[str, list[str], list[str]]] = [
    ("18", ["18", "18.0", r"\$18", "１８"], ["1800", "18.1", "-18", "81", "1,8", "18^2", "0.18"]),
    ("1450000", ["1450000", "1,450,000", r"1{,}450{,}000"], ["1,450", "1.45", "145000"]),
    ("-7", ["-7", "−7"], ["7", "--7", "7-"]),
    ("0.5", ["0.5", r"\frac{1}{2}", ".5"], ["5", "0.50001", r"\frac{1}{5}"]),
    (r"\frac{3}{4}", [r"\frac{3}{4}", r"\dfrac34", "3/4", "0.75"], [r"\frac{4}{3}", "3,4", "0.7500001"]),
    ("1, -2", ["1, -2", "-2, 1"], ["1, -3", "1", "1, -2, 3", "12"]),
    ("(1,2)", ["(1,2)", "( 1, 2 )"], ["(2,1)", "[1,2]", "12"]),
    ("C", ["C", "(C)", r"\text{C}"], ["B", "A, B, C, D", "AC"]),
]


def hostile(gold: str) -> dict[str, str]:
    """Whole texts, by name. None answers with the gold, so none is right, and none may hang or crash a verifier."""
    boxed = {name: rf"\boxed{{{answer}}}" for name, answer in hostile_answers(gold).items()}
    return boxed | {
        "nothing": "",
        "white space": " \n" * 1000,
        "no box": f"The answer is {gold}, {gold} and nothing but {gold}.",
        "a box that is never closed": rf"\boxed{{{gold}",
        "an empty box after the gold": rf"\boxed{{{gold}}} or rather \boxed{{}}",
        "the gold, then another": rf"\boxed{{{gold}}} is wrong, it is \boxed{{{gold}9}}",
        "the gold in every branch": rf"If so, {gold}. If not, {gold}. \boxed{{{gold} \text{{ if so, else }} {gold}1}}",
        "a thousand boxes": "".join(rf"\boxed{{{n}{gold}}}" for n in range(1000, 2000)),
        "ten thousand open boxes": r"\boxed{" * 10_000,
        "open tags": "<answer>" * 10_000 + gold,
        "a megabyte of digits": r"\boxed{" + "9" * 1_000_000 + "}",
        "a megabyte of noise": "\\[ { $ " * 150_000 + r"\boxed{0.123}",
        "half a surrogate pair": "\\boxed{\ud800}",
    }


def hostile_answers(gold: str) -> dict[str, str]:
    """Contents of the box, or of the tags, of a hostile text, by name."""
    create = f"open('{CANARY}', 'w').close()"
    return {
        "a tower of powers": "9^{9^{9^{9}}}",
        "a tower in Python": "9**9**9**9",
        "a power of powers": "((9^9)^{9999})^{9999}",
        "a power with a long exponent": "10^{1000000000}",
        "a factorial": "100000000!",
        "a factorial of factorials": "((9!)!)!",
        "a binomial": r"\binom{1000000000}{500000000}",
        "a sum": r"\sum_{k=1}^{1000000000} k^k",
        "a product": r"\prod_{k=1}^{1000000} k",
        "an integral": r"\int_0^1 x^{x^{x^{x}}} dx",
        "a chain of roots": r"\sqrt{" * 500 + "2" + "}" * 500,
        "a chain of fractions": r"\frac{1}{1+" * 300 + "1" + "}" * 300,
        "parentheses": "(" * 2000 + "1" + ")" * 2000,
        "braces": "{" * 100_000 + "}" * 100_000,
        "signs": "-" * 1501 + "1",
        "a long sum": "+".join(["1"] * 900),
        "a long product of letters": "xyz" * 600,
        "a matrix": r"\begin{pmatrix}" + r"1 & 2 & 3 \\ " * 300 + r"\end{pmatrix}",
        "a long list": ",".join(map(str, range(3000))),
        "code": f"__import__('os').system('touch {CANARY}')",
        "code in an expression": f"[x for x in ().__class__.__base__.__subclasses__()] or {create}",
        "code in a call": f"exec({create!r})",
        "code in a command": rf"\input{{|touch {CANARY}}}",
        "a nul": f"{gold}\x00",
        "a direction mark": f"\u202e{gold}",
        "Arabic digits": "٤٢" + "٣" * len(gold),
        "an equation of everything": f"x = x, {gold} = {gold}",
        "a name as long as a page": f"{'a b ' * 400}! = {gold}",
        "a chain of everything": f"{'x + y = ' * 200}{gold}",
        "a comparison": f"{gold} \\ge 0 - {gold}",
        "every option": ", ".join("ABCDEFGHIJ"),
        "not a number": "NaN",
        "infinity": r"\infty",
        "HTML": f"<script>{gold}</script>",
    }
