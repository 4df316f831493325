"""GPQA-Diamond: 198 four-choice questions of biology, chemistry and physics for experts (arXiv 2311.12022).

The data name the right choice first. Choices are put in the order of a digest of question and choice: the same for
every model, seed and file, whatever the order of the rows or of the wrong choices."""

from paring.evaluation.benchmarks.benchmark import Benchmark, Hub, Question, Record
from paring.evaluation.benchmarks.worked import CHOICE
from paring.tasks.splits import digest

LETTERS = "ABCD"
RIGHT = "Correct Answer"
WRONG = tuple(f"Incorrect Answer {number}" for number in (1, 2, 3))


def read(row: Record) -> Question:
    question, right = row.text("Question").strip(), row.text(RIGHT).strip()
    choices = [right, *(row.text(field).strip() for field in WRONG)]
    choices.sort(key=lambda choice: digest(f"{question}\n{choice}"))
    options = "\n".join(f"({letter}) {choice}" for letter, choice in zip(LETTERS, choices, strict=True))
    golds = tuple(letter for letter, choice in zip(LETTERS, choices, strict=True) if choice == right)
    labels = {"subject": row.label("High-level domain"), "field": row.label("Subdomain")}
    return Question(f"{question}\n{options}", golds, "letters", labels)


GPQA_DIAMOND = Benchmark(
    name="gpqa_diamond",
    title="GPQA-Diamond",
    rows=198,
    fields=("Question", RIGHT, *WRONG),
    read=read,
    origin="gpqa_diamond.csv of github.com/idavidrein/gpqa as JSON Lines, with the names of its columns",
    hub=Hub("Idavidrein/gpqa", split="train", configs=("gpqa_diamond",)),
    examples=CHOICE,
    note="The hub gives the data after their terms are accepted. Choices are in an order of ours (benchmarks/gpqa.py).",
)
