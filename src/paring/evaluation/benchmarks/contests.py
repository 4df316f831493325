"""Recent contests whose answers are numbers or expressions: AIME, HMMT, AMC 12; and Minerva's questions of science."""

from paring.evaluation.benchmarks.benchmark import Benchmark, Hub, Question, Record
from paring.verifier.extraction import last_box
from paring.verifier.integers import integer

THIRTY = "{} problems: one problem more or less is {} points, so give several answers to each (--samples)."


def read_integer(row: Record) -> Question:
    """A whole number, which data hold as a number (27, 27.0) or as text, perhaps with leading zeros."""
    written = str(row.field("answer"))
    gold = integer(written)
    if gold is None:
        raise ValueError(f"{row.place}: answer {row.label('answer')!r} must be a whole number")
    return Question(row.text("problem", "question"), (str(gold),), "integer")


def read_expression(row: Record) -> Question:
    kinds = row.field("problem_type") if row.label("problem_type") else []
    labels = {"subject": ", ".join(map(str, kinds)) if isinstance(kinds, list) else str(kinds)}
    return Question(row.text("problem", "question"), (str(row.field("answer")),), labels=labels)


def read_minerva(row: Record) -> Question:
    """The hub's copy has the answer, that of github.com/QwenLM/Qwen2.5-Math a solution with a box."""
    labels = {"subject": row.label("type")} if row.label("type") else {}
    if row.label("answer"):
        return Question(row.text("question", "problem"), (row.text("answer"),), labels=labels)
    gold = last_box(row.text("solution"))
    if gold is None:
        raise ValueError(f"{row.place}: there is no answer, and the solution has no \\boxed{{}} that closes")
    return Question(row.text("problem", "question"), (gold,), labels=labels)


def _aime(year: int, hub: str) -> Benchmark:
    return Benchmark(
        name=f"aime{year % 100}",
        title=f"AIME {year}",
        rows=30,
        fields=("problem", "answer"),
        read=read_integer,
        origin=f"the 30 problems of AIME {year}, I and II, as JSON Lines (problem, answer)",
        hub=Hub(hub, split="train"),
        note=THIRTY.format(30, "3.3"),
    )


def _hmmt(year: int, rows: int) -> Benchmark:
    return Benchmark(
        name=f"hmmt{year % 100}",
        title=f"HMMT February {year}",
        rows=rows,
        fields=("problem", "answer", "problem_type"),
        read=read_expression,
        origin=f"the {rows} problems of HMMT February {year} as JSON Lines (problem, answer, problem_type)",
        hub=Hub(f"MathArena/hmmt_feb_{year}", split="train"),
        note=THIRTY.format(rows, f"{100 / rows:.1f}"),
    )


AIME24 = _aime(2024, "HuggingFaceH4/aime_2024")
AIME25 = _aime(2025, "MathArena/aime_2025")
AIME26 = _aime(2026, "MathArena/aime_2026")
HMMT25, HMMT26 = _hmmt(2025, 30), _hmmt(2026, 33)
AMC = Benchmark(
    name="amc",
    title="AMC 12, 2022 and 2023",
    rows=83,
    fields=("problem", "answer"),
    read=read_integer,
    origin="the 83 problems of AI-MO/aimo-validation-amc as JSON Lines (problem, answer)",
    hub=Hub("AI-MO/aimo-validation-amc", split="train"),
    note="Problems were rewritten to have integers as answers. Many of amc23 are among them.",
)
MINERVA = Benchmark(
    name="minerva",
    title="Minerva",
    rows=272,
    fields=("question", "answer"),
    read=read_minerva,
    origin="evaluation/data/minerva_math/test.jsonl of github.com/QwenLM/Qwen2.5-Math",
    hub=Hub("math-ai/minervamath"),
    note="Many golds are rounded, and must be met exactly here: graders with a tolerance give higher figures.",
)
