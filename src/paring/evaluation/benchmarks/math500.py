"""MATH-500: the 500 problems of MATH that Lightman et al. held out (arXiv 2305.20050)."""

from paring.evaluation.benchmarks.benchmark import Benchmark, Hub, Question, Record
from paring.evaluation.benchmarks.worked import MATHEMATICS


def read(row: Record) -> Question:
    labels = {"subject": row.label("subject"), "level": row.label("level")}
    return Question(row.text("problem"), (row.text("answer"),), labels=labels)


MATH500 = Benchmark(
    name="math500",
    title="MATH-500",
    rows=500,
    fields=("problem", "answer", "subject", "level"),
    read=read,
    origin="test.jsonl of HuggingFaceH4/MATH-500",
    hub=Hub("HuggingFaceH4/MATH-500"),
    examples=MATHEMATICS,
    note="Every problem is one of MATH too: the two are not independent.",
)
