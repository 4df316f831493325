"""Mathematics of your own: rows with a question and one or several right answers, judged by the whole verifier."""

import json
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal
from warnings import warn

from paring.runtime.rows import Row, check_text, field_of, hub_values, jsonl_values, reject_repeats
from paring.settings.declare import settings
from paring.tasks.reasoning import corrects_itself, has_equation
from paring.tasks.splits import digest, three_splits
from paring.tasks.styles import STYLES, prompt
from paring.tasks.verdict_scores import score_of
from paring.types import Problem, Score, Split
from paring.verifier import Gold, Verifier
from paring.verifier.extraction import last_box, marked_answer

MOST_NAMED = 5
"""Rows with a gold that cannot be judged that are named one by one."""


@settings
class Maths:
    """Your own problems, judged by the rules of docs/verifier.md: in training as in evaluation.

    data             a .jsonl file, or a name on the hub (needs the `data` extra), of rows like {"question", "answer"}.
                     The answer is a text, a number, or a list of those, of which any is right. Of a worked solution
                     it is what follows `####`, or else what the last box holds
    hub_config       which configuration of a data set on the hub; files have none
    test             a .jsonl file of held-out rows. Without one an eighth of the rows is held out
    question_field   the name of the field that holds the question
    answer_field     the name of the field that holds the answer
    style            how the question is put, and where its answer must stand (tasks/styles.py)

    An eighth of the rows each is `test`, unless there is a test file, and `validation`; the rest is `train`
    (tasks/splits.py). A row whose gold cannot be judged is left out, and named in a warning. The gold of a problem is
    the JSON list of its right answers.
    """

    name: Literal["maths"] = "maths"
    data: str
    hub_config: str | None = None
    test: str | None = None
    question_field: str = "question"
    answer_field: str = "answer"
    style: Literal["boxed", "think-answer"] = "boxed"

    def problems(self, split: Split) -> Sequence[Problem]:
        """The problems of a split.

        Raises FileNotFoundError or ValueError with the place if a file is missing or broken (runtime/rows.py), a
        question stands twice, or there are too few rows for every split; ModuleNotFoundError without an extra that is
        needed to read the data or to judge a gold."""
        rows = self._rows(self.data)
        tested = None if self.test is None else self._rows(self.test)
        both = [*rows, *(tested or ())]
        reject_repeats([Row(place, {self.question_field: problem.id}) for place, problem in both], self.question_field)
        _verifier().check(gold for _, problem in both for gold in _golds(problem.gold))
        held_out = None if tested is None else [problem for _, problem in tested]
        return three_splits([problem for _, problem in rows], lambda problem: problem.id, held_out, self.data)[split]

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

    def _rows(self, path: str) -> list[tuple[str, Problem]]:
        """Problems with the places of their rows, without those whose gold cannot be judged."""
        is_file = Path(path).expanduser().exists() or Path(path).suffix == ".jsonl" or path.count("/") != 1
        fields = (self.question_field, self.answer_field)
        values = jsonl_values(path, fields) if is_file else hub_values(path, self.hub_config, "train")
        problems, unread = [], []
        for value, place in values:
            question = check_text(field_of(value, self.question_field, place), f"field {fields[0]!r}", place)
            gold = json.dumps(_written(field_of(value, self.answer_field, place)), ensure_ascii=False)
            try:
                _golds(gold)
            except ValueError as error:
                unread.append(f"{place}: {error}")
                continue
            problems.append((place, Problem(f"maths/{digest(question)}", prompt(STYLES[self.style], question), gold)))
        if unread:
            more = f"\n... and {len(unread) - MOST_NAMED} more" if len(unread) > MOST_NAMED else ""
            named = "\n".join(unread[:MOST_NAMED])
            warn(f"{path}: {len(unread)} rows are left out, as no answer can be judged:\n{named}{more}", stacklevel=2)
        return problems


def _written(answer: object) -> list[str]:
    """The right answers of a row as texts: of a worked solution what it ends in."""
    answers = answer if isinstance(answer, list) else [answer]
    texts = [text if isinstance(text, str) else json.dumps(text) for text in answers]
    return [next(found for found in (marked_answer(text), last_box(text), text) if found is not None) for text in texts]


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
