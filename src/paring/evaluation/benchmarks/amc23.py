"""AMC23: 40 problems of the American Mathematics Competitions 2023, rewritten to have integers as answers."""

from paring.evaluation.benchmarks.benchmark import Benchmark, Hub, Question, Record
from paring.verifier.integers import integer


def read(row: Record) -> Question:
    # The data hold them as floats, the hub's copy as text: 27.0, "27".
    gold = integer(str(row.field("answer")))
    if gold is None:
        raise ValueError(f"{row.place}: answer {row.label('answer')!r} must be a whole number")
    return Question(row.text("question", "problem"), (str(gold),), "integer")


AMC23 = Benchmark(
    name="amc23",
    title="AMC23",
    rows=40,
    fields=("question", "answer"),
    read=read,
    origin="evaluation/data/amc23/test.jsonl of github.com/QwenLM/Qwen2.5-Math",
    hub=Hub("math-ai/amc23"),
    note="40 problems: one problem more or less is 2.5 points.",
)
