"""Answers on record: one item a problem, one JSON line each, appended by whole chunks."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pydantic import TypeAdapter

from paring.tasks.base import Task
from paring.tasks.mixture import Mixture, label_of
from paring.types import Group, Json, Score


@dataclass(frozen=True)
class Response:
    """A model's answer and its verdict.

    why      the class of the verdict: right, wrong, or another of the task's own
    answer   what the task read in the text as the answer; None where it read none
    tokens   how many there are; `ended`: the last one ends the text, which was not cut off
    """

    correct: bool
    why: str
    answer: str | None
    reward: float
    traits: Mapping[str, bool]
    tokens: int
    ended: bool
    text: str


@dataclass(frozen=True)
class Item:
    """A problem and its answers, how many are `right`, and their `share`. Benchmarks add its row in the data, labels
    such as its subject, and its flaw."""

    problem: str
    question: str
    gold: str
    answers: tuple[Response, ...]
    row: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    flaw: str | None = None

    @property
    def right(self) -> int:
        return sum(response.correct for response in self.answers)

    @property
    def share(self) -> float:
        return self.right / len(self.answers)

    def as_plain(self) -> dict[str, Json]:
        """One JSON object. `correct` sums up its answers: true or false for a single one, else the share."""
        correct = self.answers[0].correct if len(self.answers) == 1 else self.share
        plain: dict[str, Json] = {"problem": self.problem, "correct": correct}
        return plain | asdict(self)

    @classmethod
    def from_plain(cls, plain: Json) -> "Item":
        """The inverse of `as_plain`. Raises ValueError where it is none."""
        return _ITEM.validate_python(plain)  # validate_json takes no lone surrogate


_ITEM = TypeAdapter(Item)


def items_of(groups: Sequence[Group], scores: Sequence[Sequence[Score]]) -> list[Item]:
    """The items of groups and their scores, [P][G]."""
    return [
        Item(
            problem=group.problem.id,
            question=group.problem.messages[-1]["content"] if group.problem.messages else "",
            gold=group.problem.gold,
            answers=tuple(
                Response(
                    correct=score.correct,
                    why=score.why or ("right" if score.correct else "wrong"),
                    answer=score.answer,
                    reward=score.reward,
                    traits=score.traits,
                    tokens=completion.drawn,
                    ended=completion.ended,
                    text=completion.text,
                )
                for completion, score in zip(group.completions, row, strict=True)
            ),
        )
        for group, row in zip(groups, scores, strict=True)
    ]


def labelled(task: Task, items: list[Item]) -> list[Item]:
    """The items; of several tasks each with the label of its own."""
    if not isinstance(task, Mixture):
        return items
    return [replace(item, labels={**item.labels, "task": label_of(item.problem)}) for item in items]


@dataclass(frozen=True)
class ItemFile:
    """Items in a file. A chunk is written at once and synced; what a kill left of one is cut off on reading."""

    path: Path
    chunk: int

    def read(self, total: int) -> list[Item]:
        """The items of whole chunks, of `total` in the end; the file is cut to them. Raises ValueError if damaged."""
        if not self.path.is_file():
            return []
        lines = self.path.read_bytes().split(b"\n")[:-1]
        whole = len(lines) if len(lines) >= total else len(lines) - len(lines) % self.chunk
        kept = b"".join(line + b"\n" for line in lines[:whole])
        os.truncate(self.path, len(kept))
        items = []
        for number, line in enumerate(lines[:whole], start=1):
            try:
                items.append(Item.from_plain(json.loads(line)))
            except (ValueError, RecursionError):
                raise ValueError(
                    f"{self.path}:{number}: damaged; remove the file to answer its problems again"
                ) from None
        return items

    def append(self, items: Sequence[Item]) -> None:
        with self.path.open("ab") as file:
            file.write(b"".join(map(self.line, items)))
            file.flush()
            os.fsync(file.fileno())

    @staticmethod
    def line(item: Item) -> bytes:
        # ASCII only: a lone surrogate can be written, and `cat` sends no control character of a model to a terminal.
        return (json.dumps(item.as_plain(), allow_nan=False) + "\n").encode("ascii")

    def chunks(self, done: int, total: int) -> Iterator[range]:
        """The places of the problems still to be answered, chunk by chunk."""
        for start in range(done, total, self.chunk):
            yield range(start, min(start + self.chunk, total))
