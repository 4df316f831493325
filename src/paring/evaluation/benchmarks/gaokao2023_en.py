"""Gaokao2023-En: 385 examination problems of 2023, most from the Gaokao or American tests, in English."""

from paring.evaluation.benchmarks.benchmark import Benchmark, Flaw, Hub, Question, Record

OPTIONS = frozenset("ABCDEFGHJK")
GIVEN_AWAY = "the question ends with its own answer, and the field of the gold is empty"


def read(row: Record) -> Question:
    gold = row.label("answer").replace("$", "").strip()
    return Question(row.text("question"), (gold,) if gold else (), "letters" if gold in OPTIONS else "auto")


GAOKAO2023_EN = Benchmark(
    name="gaokao2023_en",
    title="Gaokao2023-En",
    rows=385,
    fields=("question", "answer"),
    read=read,
    origin="evaluation/data/gaokao2023en/test.jsonl of github.com/QwenLM/Qwen2.5-Math",
    hub=Hub("MARIO-Math-Reasoning/Gaokao2023-Math-En", split="train"),
    flaws=(
        Flaw(1, "b71525ebc40bd87f", "the gold lost its i", (r"-1-\sqrt{3}i",)),
        Flaw(69, "43ce93e97ab7e2a4", "asks for one value of four", ("2", "-2", r"\frac{1}{2}", r"-\frac{1}{2}")),
        Flaw(107, "4eb62e192ede97f1", "the gold runs on: $145$solution:", ("145",)),
        Flaw(167, "4d0f154a64dcbe9a", GIVEN_AWAY),
        Flaw(192, "07c1eb828fefda76", GIVEN_AWAY),
    ),
    note="The golds were not checked one by one: what is listed as broken is what was noticed.",
)
