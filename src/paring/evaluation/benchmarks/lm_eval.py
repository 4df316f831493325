"""GSM8K as lm-evaluation-harness puts and scores it (its task `gsm8k`, version 3): plain text, shots, two patterns."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random

from paring.evaluation.measuring import NO_ANSWER
from paring.runtime.rows import Row, checked_row
from paring.runtime.sources import Source
from paring.tasks.splits import digest
from paring.types import Problem, Score, Split

STYLE = "lm-eval"
FIELDS = ("question", "answer")
SHOTS, SEED = 5, 1234
"""Worked examples by default, and the seed of their draw, as the harness has them."""
LONGEST_ANSWER = 256
STOP = ("Question:", "</s>", "<|im_end|>")
STRICT = re.compile(r"#### (-?[0-9.,]+)")
FLEXIBLE = re.compile(r"-?[$0-9.,]{2,}|-?[0-9]+")


@dataclass(frozen=True)
class LmEvalGsm8k:
    """The test problems of the folder or data set `data`, each after `shots` examples drawn from its training set.

    Right is what the harness calls strict-match: the number behind the first `####` is the gold. The trait
    `flexible_match` is its flexible-extract: the last number is. Both compare texts, without commas, dollars and a last
    full stop."""

    data: str
    config: str | None = None
    shots: int = SHOTS
    name: str = "gsm8k"

    def problems(self, split: Split) -> Sequence[Problem]:
        """The test problems. Raises ValueError for other splits, and as reading the data does."""
        if split != "test":
            raise ValueError(f"{self.name} in the style {STYLE} is for evaluation: it has a test split alone")
        return self._problems

    def score(self, problem: Problem, text: str) -> Score:
        """1 for strict-match, else 0."""
        ends = [place for stop in STOP if (place := text.find(stop)) >= 0]
        text = text[: min(ends, default=len(text))]
        strict, numbers = STRICT.search(text), FLEXIBLE.findall(text)
        correct = strict is not None and bare(strict[1]) == bare(problem.gold)
        flexible = bool(numbers) and bare(numbers[-1]) == bare(problem.gold)
        why = NO_ANSWER if strict is None else "right" if correct else "wrong"
        answer = None if strict is None else strict[1]
        return Score({"correct": float(correct)}, correct, {"flexible_match": flexible}, why=why, answer=answer)

    @cached_property
    def _problems(self) -> list[Problem]:
        examples, draw = self._rows("train") if self.shots else [], Random(SEED)
        if self.shots > len(examples):
            raise ValueError(
                f"shots = {self.shots}: the training set has {len(examples)} rows; ask for so many at most"
            )
        problems = []
        for row in self._rows("test"):
            shown = "".join(f"{_question(one)} {one['answer']}\n\n" for one in draw.sample(examples, self.shots))
            gold = row["answer"].rpartition("#### ")[2]
            message = {"role": "user", "content": shown + _question(row)}
            problems.append(Problem(f"{self.name}/{digest(row['question'])}", (message,), gold, place=row.place))
        return problems

    def _rows(self, split: str) -> list[Row]:
        values = Source(self.data, "data", self.config).values(split, FIELDS)
        return [checked_row(value, FIELDS, place) for value, place in values]


def bare(number: str) -> str:
    """A number as the harness compares it."""
    return re.sub(r"\.$", "", number.replace(",", "").replace("$", "").rpartition("#### ")[2]).lower()


def _question(row: Row) -> str:
    return f"Question: {row['question']}\nAnswer:"
