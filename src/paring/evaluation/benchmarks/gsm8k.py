"""GSM8K: grade-school problems in words (Cobbe et al., arXiv 2110.14168), read and judged by the task of this name."""

from paring.evaluation.benchmarks.benchmark import Benchmark, Hub

GSM8K = Benchmark(
    name="gsm8k",
    title="GSM8K",
    rows=1319,
    fields=("question", "answer"),
    read=None,
    origin="test.jsonl of github.com/openai/grade-school-math",
    hub=Hub("openai/gsm8k", configs=("main",)),
    note="Some golds are known to be wrong (grade-school-math issue 25); which ones is not listed anywhere we know.",
)
