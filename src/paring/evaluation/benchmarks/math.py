"""MATH: 5,000 competition problems in seven subjects and five levels (Hendrycks et al., arXiv 2103.03874); and the 500
of them that Lightman et al. held out (arXiv 2305.20050)."""

from paring.evaluation.benchmarks.benchmark import Benchmark, Flaw, Hub, Question, Record
from paring.verifier.extraction import last_box

SEVERAL = "the solution boxes each of several answers: the last box holds but one of them"
EITHER = "the solution boxes two answers, of which either is right"
SUBJECTS = tuple(
    "algebra counting_and_probability geometry intermediate_algebra number_theory prealgebra precalculus".split()
)


def read_solution(row: Record) -> Question:
    gold = last_box(row.text("solution"))
    if gold is None:
        raise ValueError(f"{row.place}: the solution has no \\boxed{{}} that closes")
    labels = {"subject": row.label("type"), "level": row.label("level").removeprefix("Level ")}
    return Question(row.text("problem"), (gold,), labels=labels)


def read_answer(row: Record) -> Question:
    labels = {"subject": row.label("subject"), "level": row.label("level")}
    return Question(row.text("problem"), (row.text("answer"),), labels=labels)


MATH = Benchmark(
    name="math",
    title="MATH",
    rows=5000,
    fields=("problem", "solution", "level", "type"),
    read=read_solution,
    origin="the 5,000 test problems as JSON Lines (problem, solution, level, type)",
    hub=Hub("EleutherAI/hendrycks_math", configs=SUBJECTS),
    flaws=(
        Flaw(
            4060,
            "8609928cf3aac50c",
            "a box is an operator of the problem: the last box holds 12, the answer is 6",
            ("6",),
        ),
        Flaw(414, "d63015afea649f42", SEVERAL, ("-2, 1",)),
        Flaw(2152, "58d15ad988eaaf98", SEVERAL, ("5 - 10i, 11, -3 + 6i",)),
        Flaw(2549, "2a90347790a95151", SEVERAL, (r"-\frac{3}{2}, -\frac{3}{4}",)),
        Flaw(2656, "56187999d1242f8a", SEVERAL, ("-10879, 10879",)),
        Flaw(2703, "c953791b5175941e", SEVERAL, (r"3, \frac{2}{5}",)),
        Flaw(4559, "0cf63f04042fb579", SEVERAL, ("-1, 2",)),
        Flaw(4562, "72bb6303e7d49851", SEVERAL, (r"30^\circ, 45^\circ, 105^\circ",)),
        Flaw(4860, "ed3290c49283f891", SEVERAL, (r"\frac{\pi}{4}, \frac{5\pi}{4}",)),
        Flaw(333, "9f518861e4c501ea", EITHER, ("-3", "3")),
        Flaw(2716, "fcb22e03178931b2", EITHER, ("(10, 0)", "(0, 0)")),
        Flaw(
            2912,
            "c55de490f62598bf",
            EITHER,
            (r"\left(\frac{3}{2}, -\frac{5}{2}\right)", r"\left(-\frac{5}{2}, -\frac{5}{2}\right)"),
        ),
        Flaw(2936, "f347746f84933fd5", EITHER, ("(3,-5)", "(0,0)")),
        Flaw(1598, "77f8fe953e39a0e0", "the gold spaces its thousands as 5,\\!525", (r"\frac{12}{5525}",)),
    ),
)
MATH500 = Benchmark(
    name="math500",
    title="MATH-500",
    rows=500,
    fields=("problem", "answer", "subject", "level"),
    read=read_answer,
    origin="test.jsonl of HuggingFaceH4/MATH-500",
    hub=Hub("HuggingFaceH4/MATH-500"),
    note="Every problem is one of MATH too: the two are not independent.",
)
