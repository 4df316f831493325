"""GSM8K: grade-school problems in words (Cobbe et al., arXiv 2110.14168); the gold follows `####`."""

from paring.evaluation.benchmarks.benchmark import Benchmark, Hub, Question, Record
from paring.evaluation.benchmarks.worked import MATHEMATICS
from paring.verifier.extraction import marked_answer
from paring.verifier.integers import integer


def read(row: Record) -> Question:
    marked = marked_answer(row.text("answer"))
    gold = None if marked is None else integer(marked)
    if gold is None:
        raise ValueError(f"{row.place}: the answer does not end in '#### ' and an integer")
    return Question(row.text("question"), (str(gold),), "integer")


GSM8K = Benchmark(
    name="gsm8k",
    title="GSM8K",
    rows=1319,
    fields=("question", "answer"),
    read=read,
    origin="test.jsonl of github.com/openai/grade-school-math",
    hub=Hub("openai/gsm8k", configs=("main",)),
    examples=MATHEMATICS,
    note="Some golds are known to be wrong (grade-school-math issue 25); which ones is not listed anywhere we know.",
)
