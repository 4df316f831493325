"""Mathematics of your own: rows with a question and one or several right answers, judged by the whole verifier."""

import json
import math
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Literal

from paring.runtime.faults import RowFault
from paring.runtime.rows import check_text, field_of
from paring.settings.declare import settings
from paring.tasks.own_data import DataRows, TaskData, read_rows_of
from paring.tasks.reasoning import corrects_itself, has_equation
from paring.tasks.splits import digest, three_splits
from paring.tasks.styles import STYLES, prompt
from paring.tasks.verdict_scores import score_of
from paring.types import Problem, Score, Split
from paring.verifier import Gold, Verifier
from paring.verifier.extraction import last_box, marked_answer


@settings
class Maths(TaskData):
    """Your own problems, judged by the rules of docs/verifier.md: in training as in evaluation. Rows like {"question",
    "answer"} (tasks/own_data.py). The answer is a text, a number, or a list of those, of which any is right; of a
    worked solution it is what follows `####`, or else what the last box holds.

    question_field   the name of the field that holds the question
    answer_field     the name of the field that holds the answer
    style            how the question is put, and where its answer must stand (tasks/styles.py)

    An eighth of the rows each is `test`, unless the data have held-out rows, and `validation`; the rest is `train`
    (tasks/splits.py). A row whose gold cannot be judged is a broken one. The gold of a problem is the JSON list of its
    right answers.
    """

    name: Literal["maths"] = "maths"
    question_field: str = "question"
    answer_field: str = "answer"
    style: Literal["boxed", "think-answer"] = "boxed"

    def problems(self, split: Split) -> Sequence[Problem]:
        """The problems of a split.

        Raises FileNotFoundError or ValueError with the place if data are missing or broken (runtime/rows.py), a
        question stands twice, or there are too few rows for every split; ModuleNotFoundError without an extra that is
        needed to read the data or to judge a gold."""
        rows = self._rows(trained_too=split != "test")
        _verifier().check(gold for problem in [*rows.trained, *(rows.tested or ())] for gold in _golds(problem.gold))
        if split == "test" and rows.tested is not None:
            return rows.tested
        return three_splits(rows.trained, lambda problem: problem.id, rows.tested, self.data)[split]

    def reference(self, problem: Problem) -> str:
        """Any of these is right."""
        return "\n".join(json.loads(problem.gold))

    def skipped(self) -> list[RowFault]:
        """The rows that are left out. Raises as `problems`."""
        return self._rows().faults.found

    def score(self, problem: Problem, text: str) -> Score:
        """As `score_all` of one."""
        return self.score_all([(problem, text)])[0]

    def score_all(self, pairs: Sequence[tuple[Problem, str]]) -> list[Score]:
        """1 if the answer is any of the problem's golds; all in one batch, so that what needs a worker does not wait.
        Traits, of what stands before the answer: `working`, there is a `=` in it, and `self_correction`."""
        verdicts = _verifier().judge_any([(_golds(problem.gold), text) for problem, text in pairs])
        return [
            score_of(verdict, {"working": has_equation(text), "self_correction": corrects_itself(text)})
            for verdict, (_, text) in zip(verdicts, pairs, strict=True)
        ]

    def _rows(self, *, trained_too: bool = True) -> DataRows[Problem]:
        fields = (self.question_field, self.answer_field)
        return read_rows_of(
            self,
            "task",
            self._problem,
            fields,
            key=lambda problem: problem.id,
            place=lambda problem: problem.place,
            what=self.question_field,
            trained_too=trained_too,
        )

    def _problem(self, value: object, place: str) -> Problem:
        """Raises RowFault."""
        question = check_text(field_of(value, self.question_field, place), f"field {self.question_field!r}", place)
        answer, what = field_of(value, self.answer_field, place), f"field {self.answer_field!r}"
        answers = answer if isinstance(answer, list) else [answer]
        texts = [json.dumps(one) if _is_number(one) else check_text(one, what, place) for one in answers]
        gold = json.dumps([*map(_written, texts)], ensure_ascii=False)
        try:
            _golds(gold)
        except ValueError as error:
            raise RowFault(place, "without a gold that can be judged", str(error)) from error
        return Problem(f"maths/{digest(question)}", prompt(STYLES[self.style], question), gold, place=place)


def _is_number(answer: object) -> bool:
    return isinstance(answer, int | float) and not isinstance(answer, bool) and math.isfinite(answer)


def _written(answer: str) -> str:
    """A right answer of a row: of a worked solution what it ends in."""
    return next(found for found in (marked_answer(answer), last_box(answer), answer) if found is not None)


@lru_cache(maxsize=4096)
def _golds(written: str) -> tuple[Gold, ...]:
    """Raises ValueError if there is none, or one that no answer can be compared with."""
    golds = tuple(map(Gold.read, json.loads(written)))
    if not golds:
        raise ValueError("the list of golds is empty")
    return golds


@cache
def _verifier() -> Verifier:
    """One for the process: its workers are shared by all tasks of this name, and what it has judged is remembered."""
    return Verifier()
