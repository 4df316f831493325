"""Questions of your own: rows of questions, each with an integer or a short text as its answer."""

from collections.abc import Sequence
from typing import Literal
from unicodedata import normalize

from paring.runtime.faults import RowFault
from paring.runtime.rows import Row, checked_row
from paring.settings.declare import settings
from paring.tasks.own_data import DataRows, TaskData, read_rows_of, with_system
from paring.tasks.splits import digest, three_splits
from paring.types import Message, Problem, Score, Split
from paring.verifier.extraction import marked_answer, tagged_answer
from paring.verifier.integers import integer, same_integer

LONGEST_ANSWER = 400
"""Characters of a gold answer, and of an answer that is compared with one."""


@settings
class Questions(TaskData):
    """Your own data: rows like {"question": "How many legs has a spider?", "answer": "8"} (tasks/own_data.py).

    question_field    the name of the field that holds the question
    answer_field      the name of the field that holds the answer: a text or a number. In one that is worked out, as
                      GSM8K's are, the gold is what follows `####`
    instruction       put under each question, e.g. "Put the final answer between <answer> and </answer>."
    system            a system prompt

    An eighth of the rows each is `test`, unless the data have held-out rows, and `validation`; the rest is `train`
    (tasks/splits.py).
    """

    name: Literal["questions"] = "questions"
    question_field: str = "question"
    answer_field: str = "answer"
    instruction: str = ""
    system: str | None = None

    def problems(self, split: Split) -> Sequence[Problem]:
        """The problems of a split. For the test split, held-out rows alone are read where there are any; for the
        others all are, so that a question which is in two splits is found.

        Raises FileNotFoundError or ValueError with the place if data are missing or broken (runtime/rows.py), if a
        question stands twice, if an answer is too long, or if there are too few rows for every split to have one.
        """
        rows = self._rows(trained_too=split != "test")
        if split == "test" and rows.tested is not None:
            return [self._problem(row) for row in rows.tested]
        splits = three_splits(rows.trained, lambda row: row[self.question_field], rows.tested, self.data)
        return [self._problem(row) for row in splits[split]]

    def skipped(self) -> list[RowFault]:
        """The rows that are left out. Raises as `problems`."""
        return self._rows().faults.found

    def score(self, problem: Problem, text: str) -> Score:
        """1 if the answer is the gold: as an integer if the gold is one (verifier/integers.py), else as a text.

        The answer is what the last `<answer>` pair holds, or else the last line that is not blank, of which only what
        follows `####` counts where it has one. Two texts are the same if they are so after NFKC, case folding and
        making every stretch of white space one space.
        """
        answer = tagged_answer(text)
        if answer is None:
            answer = text.rstrip().rpartition("\n")[2].rpartition("####")[2].strip()
        if integer(problem.gold) is not None:
            correct = same_integer(answer, problem.gold)
        else:
            correct = len(answer) <= LONGEST_ANSWER and _folded(answer) == _folded(problem.gold)
        return Score({"correct": float(correct)}, correct)

    def _rows(self, *, trained_too: bool = True) -> DataRows[Row]:
        return read_rows_of(
            self,
            "task",
            self._row,
            (self.question_field, self.answer_field),
            key=lambda row: row[self.question_field],
            place=lambda row: row.place,
            what=self.question_field,
            trained_too=trained_too,
        )

    def _row(self, value: object, place: str) -> Row:
        """The row with its gold in the place of its answer. Raises RowFault."""
        row = checked_row(value, (self.question_field, self.answer_field), place)
        answer = row[self.answer_field]
        gold = (marked_answer(answer) or "" if "####" in answer else answer).strip()
        if not gold:
            raise RowFault(place, "without a gold that can be judged", f"nothing follows '####': {answer[-40:]!r}")
        if len(gold) > LONGEST_ANSWER:
            words = f"the answer has {len(gold)} characters, at most {LONGEST_ANSWER} can be checked"
            raise RowFault(place, "without a gold that can be judged", words)
        return Row(place, row.fields | {self.answer_field: gold})

    def _problem(self, row: Row) -> Problem:
        question = row[self.question_field]
        content = f"{question}\n{self.instruction}" if self.instruction else question
        messages: tuple[Message, ...] = ({"role": "user", "content": content},)
        messages = with_system(messages, self.system)
        return Problem(f"questions/{digest(question)}", messages, row[self.answer_field], place=row.place)


def _folded(text: str) -> str:
    return " ".join(normalize("NFKC", text).casefold().split())
