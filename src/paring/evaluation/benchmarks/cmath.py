"""CMATH: 600 word problems of Chinese primary schools, 100 of each grade (Wei et al., arXiv 2306.16636)."""

from paring.evaluation.benchmarks.benchmark import Benchmark, Flaw, Hub, Question, Record


def read(row: Record) -> Question:
    labels = {"grade": row.label("grade"), "steps": row.label("reasoning_step")}
    return Question(row.text("question"), (row.text("answer", "golden").strip(),), labels=labels)


CMATH = Benchmark(
    name="cmath",
    title="CMATH",
    rows=600,
    fields=("question", "answer", "grade", "reasoning_step"),
    read=read,
    origin="evaluation/data/cmath/test.jsonl of github.com/QwenLM/Qwen2.5-Math",
    hub=Hub("weitianwen/cmath", split="validation"),
    flaws=(
        Flaw(465, "c2738766e036d0ea", "asks for the unreduced 30/42, where a comparison of values takes 5/7 as well"),
    ),
)
