"""GSM8K: grade-school problems in words whose answers are integers (Cobbe et al., arXiv 2110.14168)."""

import re
from collections.abc import Sequence
from typing import Literal

from paring.runtime.faults import RowFault
from paring.runtime.rows import Row, checked_row
from paring.runtime.sources import Source
from paring.settings.declare import Count, CountOrZero, settings
from paring.tasks.own_data import DataRows, TaskData, read_rows_of, with_system
from paring.tasks.reasoning import corrects_itself, has_equation
from paring.tasks.splits import digest, hash_order
from paring.tasks.styles import STYLES, prompt
from paring.types import Problem, Score, Split
from paring.verifier import Gold
from paring.verifier.extraction import answer_or_mark, marked_answer
from paring.verifier.integers import integer
from paring.verifier.verdicts import decide

FIELDS = ("question", "answer")
VALIDATION_PROBLEMS = 500
FORMAT_REWARD = 0.1
CORRECT_REWARD = 1.0
CALCULATION = re.compile(r"<<[^<>]*>>")


@settings
class Gsm8k(TaskData):
    """GSM8K as the RGRA paper trains on it (arXiv 2603.18756, sec. 4).

    The paper states: 1,800 problems drawn at random from the training set, 0.1 for the format and 1.0 for the
    answer, and `<answer>` tags in an example (fig. 2). Our choices, since it names none: which 1,800, the `<think>`
    tags, the system prompt, that the two rewards are added, and the rules of `score`.

    data             as for every task (tasks/own_data.py), with held-out rows; {"question", "answer"}, where the answer
                     ends in `#### gold`
    train_problems   how many rows of the training set are trained on: the first in hash order of (seed, question)
    subset_seed      another seed is another draw
    style            how the question is put, and the form that is rewarded (tasks/styles.py): the paper's tags, or a
                     box as benchmarks want it
    system           a system prompt in the place of the style's; empty: none
    """

    name: Literal["gsm8k"] = "gsm8k"
    data: str = "openai/gsm8k"
    hub_config: str | None = "main"
    train_problems: Count = 1800
    subset_seed: CountOrZero = 0
    style: Literal["think-answer", "boxed"] = "think-answer"
    system: str | None = None

    def problems(self, split: Split) -> Sequence[Problem]:
        """`train`: the draw; `validation`: the next 500 rows of the same order, or what is left; `test`: all of it.

        Raises FileNotFoundError or ValueError with the place if the data are missing or broken (runtime/rows.py), if
        a gold is no integer, or if there are fewer than `train_problems` rows; ModuleNotFoundError without the extra.
        """
        if split == "test":
            return [self._problem(row) for row in self._tested(self._rows(trained_too=False))]
        rows = self._rows()
        ordered = hash_order(rows.trained, lambda row: row["question"], self.subset_seed)
        if len(ordered) < self.train_problems:
            raise ValueError(f"train_problems={self.train_problems}: {self.data} has {len(ordered)}, ask for fewer")
        drawn = slice(self.train_problems)
        spare = slice(self.train_problems, self.train_problems + VALIDATION_PROBLEMS)
        return [self._problem(row) for row in ordered[drawn if split == "train" else spare]]

    def skipped(self) -> list[RowFault]:
        """The rows that are left out. Raises as `problems`."""
        return self._rows().faults.found

    def score(self, problem: Problem, text: str) -> Score:
        """0.1 if the text has the style's form (tasks/styles.py) plus 1.0 if its answer is the gold.

        The answer is what the last box or `<answer>` pair holds, in either style; in a text with neither, what follows
        the last `####` on its line, so that a base model which writes neither has a signal too. The verifier compares
        it with the gold (docs/verifier.md); a number that merely stands last counts for nothing.
        Traits, of what stands before the answer: `working`, there is a `=` in it, and `self_correction`
        (tasks/reasoning.py).
        """
        verdict = decide(Gold.read(problem.gold, kind="integer"), text, answer_in=answer_or_mark)
        parts = {
            "format": FORMAT_REWARD * STYLES[self.style].followed_by(text),
            "correct": CORRECT_REWARD * verdict.correct,
        }
        traits = {"working": has_equation(text), "self_correction": corrects_itself(text)}
        return Score(parts, verdict.correct, traits, why=verdict.why, answer=verdict.answer)

    def _problem(self, row: Row) -> Problem:
        """Its solution is that of the data in the form of the style, without calculator marks such as <<2*3=6>>; empty
        where nothing stands before the gold."""
        question, answer, style = row["question"], row["answer"], STYLES[self.style]
        gold = str(integer(marked_answer(answer) or ""))
        working = CALCULATION.sub("", answer.rpartition("####")[0]).strip()
        solution = style.written(working, gold) if working else ""
        messages = with_system(prompt(style, question), self.system)
        return Problem(f"gsm8k/{digest(question)}", messages, gold, solution, row.place)

    def _rows(self, *, trained_too: bool = True) -> DataRows[Row]:
        return read_rows_of(
            self,
            "task",
            _row,
            FIELDS,
            key=lambda row: row["question"],
            place=lambda row: row.place,
            what="question",
            trained_too=trained_too,
        )

    def _tested(self, rows: DataRows[Row]) -> list[Row]:
        if rows.tested is not None:
            return rows.tested
        source = Source(self.data, "task.data")
        if source.is_file:
            raise ValueError(f"task.data = {self.data!r} is one file, for training: name the test file in task.test")
        raise FileNotFoundError(
            f"{source.path / 'test.jsonl'}: there is no such file; both are in github.com/openai/grade-school-math"
        )


def _row(value: object, place: str) -> Row:
    """Raises RowFault, also for a gold that is no integer."""
    row = checked_row(value, FIELDS, place)
    if integer(marked_answer(row["answer"]) or "") is None:
        words = f"the answer does not end in '#### ' and an integer: {row['answer'][-40:]!r}"
        raise RowFault(place, "without a gold that can be judged", words)
    return row
