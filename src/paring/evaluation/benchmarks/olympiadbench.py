"""OlympiadBench: its 675 open-ended text problems of mathematics in English (He et al., arXiv 2402.14008)."""

from paring.evaluation.benchmarks.benchmark import Benchmark, Flaw, Hub, Question, Record


def read(row: Record) -> Question:
    golds = row.field("final_answer")
    if not (isinstance(golds, list) and len(golds) == 1 and isinstance(golds[0], str)):
        raise ValueError(f"{row.place}: final_answer must be a list of one string")
    # Several answers stand in one string, each between dollars of its own: $69$,$84$.
    gold = golds[0].replace("$", "").strip()
    labels = {"subject": row.label("subfield"), "answer": row.label("answer_type")}
    return Question(row.text("question"), (gold,), labels=labels)


OLYMPIADBENCH = Benchmark(
    name="olympiadbench",
    title="OlympiadBench",
    rows=675,
    fields=("question", "final_answer", "subfield", "answer_type"),
    read=read,
    origin="OE_TO_maths_en_COMP of github.com/OpenBMB/OlympiadBench as JSON Lines",
    hub=Hub("Hothan/OlympiadBench", split="train", configs=("OE_TO_maths_en_COMP",)),
    flaws=(
        Flaw(194, "b457118c1318b034", "the gold is broken LaTeX: $221,$8$, for m and n", ("221,8", "(221,8)")),
        Flaw(96, "ba2da4f4c62bffb1", "the gold is t(0,4], for t in (0,4]", ("(0,4]",)),
        Flaw(76, "5f0b746f71fcf6cd", "the gold ends in a full stop", (r"(-\infty, 0) \cup \{1\}",)),
        Flaw(73, "4673d4b107fc2428", "the gold is a sentence about a and b, which no comparison decides"),
    ),
    note="Row 316 (id 2592) allows an error of 0.1 in the data; here its 4.2 must be met exactly.",
)
