"""MATH: 5,000 competition problems in seven subjects and five levels (Hendrycks et al., arXiv 2103.03874); and the 500
of them that Lightman et al. held out (arXiv 2305.20050)."""

from paring.evaluation.benchmarks.benchmark import Benchmark, Flaw, Hub, Question, Record
from paring.verifier.extraction import last_box

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
