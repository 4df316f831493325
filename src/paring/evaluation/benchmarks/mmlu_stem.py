"""MMLU-STEM: the 3,018 four-choice questions of MMLU's 18 subjects of science (Hendrycks et al., arXiv 2009.03300)."""

from paring.evaluation.benchmarks.benchmark import Benchmark, Flaw, Hub, Question, Record
from paring.evaluation.benchmarks.worked import CHOICE

LETTERS = "ABCD"
SUBJECTS = tuple(
    "abstract_algebra astronomy college_biology college_chemistry college_computer_science college_mathematics "
    "college_physics computer_security conceptual_physics electrical_engineering elementary_mathematics "
    "high_school_biology high_school_chemistry high_school_computer_science high_school_mathematics "
    "high_school_physics high_school_statistics machine_learning".split()
)


def read(row: Record) -> Question:
    choices, right = row.field("choices"), row.field("answer")
    if not (isinstance(choices, list) and len(choices) == len(LETTERS)):
        raise ValueError(f"{row.place}: choices must be a list of {len(LETTERS)}")
    if not (isinstance(right, int) and 0 <= right < len(LETTERS)):
        raise ValueError(f"{row.place}: answer {right!r} must be the index of a choice, 0 to {len(LETTERS) - 1}")
    options = "\n".join(f"({letter}) {choice}" for letter, choice in zip(LETTERS, choices, strict=True))
    labels = {"subject": row.label("type", "subject")}
    return Question(f"{row.text('question')}\n{options}", (LETTERS[right],), "letters", labels)


MMLU_STEM = Benchmark(
    name="mmlu_stem",
    title="MMLU-STEM",
    rows=3018,
    fields=("question", "choices", "answer", "type"),
    read=read,
    origin="evaluation/data/mmlu_stem/test.jsonl of github.com/QwenLM/Qwen2.5-Math",
    hub=Hub("cais/mmlu", configs=SUBJECTS),
    examples=CHOICE,
    shots=5,
    flaws=(Flaw(2553, "227862673b1de37a", "the options A and B are both 687, which is right", ("A", "B"), "letters"),),
    note="The examples are ours, not those of MMLU's development set: figures differ from those of other harnesses.",
)
