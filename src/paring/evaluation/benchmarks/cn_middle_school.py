"""CN-Middle-School 24: 101 problems of Chinese school-leaving examinations of 2024, choices and open ones."""

from paring.evaluation.benchmarks.benchmark import Benchmark, Flaw, Question, Record


def read_choice_or_open(row: Record) -> Question:
    """The letter of a choice is its gold; what has none is open."""
    letter = row.label("choice_answer").strip()
    gold = letter or row.text("answer").strip()
    labels = {"kind": "choice" if letter else "open"}
    return Question(row.text("question"), (gold,), "letters" if letter else "auto", labels)


CN_MIDDLE_SCHOOL = Benchmark(
    name="cn_middle_school",
    title="CN-Middle-School 24",
    rows=101,
    fields=("question", "answer", "choice_answer"),
    read=read_choice_or_open,
    origin="evaluation/data/cn_middle_school/test.jsonl of github.com/QwenLM/Qwen2.5-Math",
    flaws=(
        Flaw(75, "143fed9d8231e3d2", "a choice whose gold is 3, which no option is; A = x is right", ("A",), "letters"),
        Flaw(90, "b0b6fb70b3e18fef", "the \\neq of the gold became a line break", (r"x \geq -3, x \neq 0",)),
        Flaw(
            13,
            "20a994a1dfb25c4d",
            "the gold counts yuan where the question counts in units of 10,000",
            ("10, 20, 13300000", "10, 20, 1330"),
        ),
        Flaw(21, "a90b322a93892ac3", "any negative number is right, and the gold 2 is not"),
    ),
    note="11 questions stand twice in two typings (22/55 23/58 24/59 25/60 26/61 27/62 28/63 29/64 30/65 32/66 33/68).",
)
