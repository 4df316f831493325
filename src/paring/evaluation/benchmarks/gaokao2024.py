"""Gaokao2024: papers I and II and a mixture of other papers of 2024, in Chinese, apart and together."""

from paring.evaluation.benchmarks.benchmark import Benchmark, Flaw, Question, Record, Together
from paring.evaluation.benchmarks.cn_middle_school import read_choice_or_open

ORIGIN = "evaluation/data/{}/test.jsonl of github.com/QwenLM/Qwen2.5-Math"
SHIFTED = "the gold belongs to another question: the golds of the last questions are shifted by one"


def read_paper(row: Record) -> Question:
    kind = row.text("type")
    gold = row.text("answer").strip()
    return Question(row.text("question"), (gold,), "auto" if kind == "blank" else "letters", {"kind": kind})


GAOKAO2024_I = Benchmark(
    name="gaokao2024_I",
    title="Gaokao2024 I",
    rows=14,
    fields=("question", "answer", "type"),
    read=read_paper,
    origin=ORIGIN.format("gaokao2024_I"),
    note="14 problems: one problem more or less is 7 points. 11 of them stand in gaokao2024_mix too.",
)
GAOKAO2024_II = Benchmark(
    name="gaokao2024_II",
    title="Gaokao2024 II",
    rows=14,
    fields=("question", "answer", "type"),
    read=read_paper,
    origin=ORIGIN.format("gaokao2024_II"),
    flaws=(
        Flaw(12, "e4ab92be9bf129b3", SHIFTED, ("24, 112",)),
        Flaw(13, "18aa18b81064cd17", SHIFTED, (r"\frac{1}{2}",)),
    ),
    note="14 problems: one problem more or less is 7 points. 11 of them stand in gaokao2024_mix too.",
)
GAOKAO2024_MIX = Benchmark(
    name="gaokao2024_mix",
    title="Gaokao2024 mix",
    rows=91,
    fields=("question", "answer", "choice_answer"),
    read=read_choice_or_open,
    origin=ORIGIN.format("gaokao2024_mix"),
    flaws=(
        Flaw(11, "bc07df45802d5d40", "the gold gives one value twice, as a pair", (r"-\frac{1}{2}",)),
        Flaw(12, "a12e008c1850e12a", "asks for one of two values", (r"\frac{1}{2}", r"-\frac{1}{2}")),
        Flaw(13, "fd375dbc83f51648", "the gold gives the second value twice", ("23, 57.5",)),
        Flaw(42, "1d15fd3408a7c721", "the i of the gold slipped under the root", (r"7-\sqrt{5}i",)),
        Flaw(49, "1407beb9e59b946a", "the gold is that of the row before", ("y=x-1",)),
    ),
    note="8 questions stand twice (18/77 21/79 22/80 23/81 26/83 28/86 29/87 33/90).",
)
GAOKAO2024 = Together(
    name="gaokao2024",
    title="Gaokao2024",
    parts=(GAOKAO2024_I, GAOKAO2024_II, GAOKAO2024_MIX),
    note="119 rows are 89 different questions: 11 of I and 11 of II stand in mix too, the last of both is the same, "
    "and 8 stand twice within mix. Their mean counts those twice or three times.",
)
