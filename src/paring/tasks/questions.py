"""Questions of your own: JSON Lines of questions, each with an integer or a short text as its answer."""

from collections.abc import Sequence
from typing import Literal
from unicodedata import normalize

from paring.runtime.rows import Row, read_jsonl, reject_repeats
from paring.settings.declare import settings
from paring.tasks.splits import digest, three_splits
from paring.types import Problem, Score, Split
from paring.verifier.extraction import tagged_answer
from paring.verifier.integers import integer, same_integer

LONGEST_ANSWER = 400
"""Characters of a gold answer, and of an answer that is compared with one."""


@settings
class Questions:
    """Your own data: a file of rows like {"question": "How many legs has a spider?", "answer": "8"}.

    train, test       .jsonl files. Without `test` an eighth of the rows of `train` is held out as the test set
    question_field    the name of the field that holds the question
    answer_field      the name of the field that holds the answer, a string
    instruction       put under each question, e.g. "Put the final answer between <answer> and </answer>."

    An eighth of the rows each is `test`, unless there is a test file, and `validation`; the rest is `train`
    (tasks/splits.py).
    """

    name: Literal["questions"] = "questions"
    train: str
    test: str | None = None
    question_field: str = "question"
    answer_field: str = "answer"
    instruction: str = ""

    def problems(self, split: Split) -> Sequence[Problem]:
        """The problems of a split. Both files are read, so that a question which is in both is found.

        Raises FileNotFoundError or ValueError with the place if a file is missing or broken (runtime/rows.py), if a
        question stands twice, if an answer is too long, or if there are too few rows for every split to have one.
        """
        rows = self._read(self.train)
        tested = None if self.test is None else self._read(self.test)
        reject_repeats([*rows, *(tested or ())], self.question_field)
        splits = three_splits(rows, lambda row: row[self.question_field], tested, self.train)
        return [self._problem(row) for row in splits[split]]

    def score(self, problem: Problem, text: str) -> Score:
        """1 if the answer is the gold: as an integer if the gold is one (verifier/integers.py), else as a text.

        The answer is what the last `<answer>` pair holds, or else the last line that is not blank. Two texts are the
        same if they are so after NFKC, case folding and making every stretch of white space one space.
        """
        answer = tagged_answer(text)
        if answer is None:
            answer = text.rstrip().rpartition("\n")[2].strip()
        if integer(problem.gold) is not None:
            correct = same_integer(answer, problem.gold)
        else:
            correct = len(answer) <= LONGEST_ANSWER and _folded(answer) == _folded(problem.gold)
        return Score({"correct": float(correct)}, correct)

    def _read(self, path: str) -> list[Row]:
        return read_jsonl(path, (self.question_field, self.answer_field))

    def _problem(self, row: Row) -> Problem:
        question, gold = row[self.question_field], row[self.answer_field].strip()
        if len(gold) > LONGEST_ANSWER:
            raise ValueError(
                f"{row.place}: the answer has {len(gold)} characters, at most {LONGEST_ANSWER} can be checked"
            )
        content = f"{question}\n{self.instruction}" if self.instruction else question
        return Problem(f"questions/{digest(question)}", ({"role": "user", "content": content},), gold)


def _folded(text: str) -> str:
    return " ".join(normalize("NFKC", text).casefold().split())
