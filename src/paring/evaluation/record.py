"""The answers to one task on record, in rounds: more answers to each problem can be added once all have as many."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from paring.evaluation.items import Item, ItemFile
from paring.runtime.files import write_durably


@dataclass(frozen=True)
class Round:
    """Answers of the numbers `members` to every problem, of which `file` holds those to the first problems, `items`."""

    file: ItemFile
    members: range
    items: list[Item]
    problems: int

    def chunks(self) -> Iterator[range]:
        """The places of the problems still to be answered, chunk by chunk."""
        return self.file.chunks(len(self.items), self.problems)


@dataclass(frozen=True)
class TaskRecord:
    """`<task>.jsonl` in `folder`. Answers that are added to whole ones stand in `<task>.from-N.jsonl` until every
    problem has them. At most `rows` answers are decoded at once, always cut at the same places."""

    folder: Path
    task: str
    problems: int
    rows: int

    @property
    def stem(self) -> str:
        return re.sub(r"[^\w-]", "_", self.task)

    @property
    def clock(self) -> "Clock":
        return Clock(self.folder / f"{self.stem}.seconds.jsonl")

    def missing(self, samples: int) -> Round | None:
        """The answers that are due next, so that every problem has `samples` answers in the end; None where all have.

        Raises ValueError where a file is damaged."""
        while True:
            whole = self._round(self.folder / f"{self.stem}.jsonl", 0, samples)
            if len(whole.items) < self.problems:
                return whole
            held = len(whole.members)
            if held >= samples:
                return None
            more = self._round(self.folder / f"{self.stem}.from-{held}.jsonl", held, samples)
            if len(more.items) < self.problems:
                return more
            self._join(whole, more)

    def items(self) -> list[Item]:
        """All answers, once none is missing."""
        return ItemFile(self.folder / f"{self.stem}.jsonl", self.rows).read(self.problems)

    def _round(self, path: Path, first: int, samples: int) -> Round:
        """The round that a file holds or will hold. One that was begun keeps its number of answers."""
        number = _answers(path) or samples - first
        file = ItemFile(path, max(1, self.rows // number))
        return Round(file, range(first, first + number), file.read(self.problems), self.problems)

    def _join(self, whole: Round, more: Round) -> None:
        """Both as one file. A kill between the two steps leaves the second file, which is in nobody's way."""
        pairs = zip(whole.items, more.items, strict=True)
        joined = [replace(one, answers=(*one.answers, *other.answers)) for one, other in pairs]
        write_durably(whole.file.path, b"".join(map(ItemFile.line, joined)))
        more.file.path.unlink()


def _answers(path: Path) -> int | None:
    """How many answers the first item of a file has; None without one."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        first = file.readline()
    with suppress(ValueError, RecursionError):
        match json.loads(first):
            case {"answers": [*answers]} if answers:
                return len(answers)
    return None


@dataclass(frozen=True)
class Clock:
    """How long each chunk took; beside the items, which are the same bytes every time."""

    path: Path

    def note(self, places: range, members: range, seconds: float) -> None:
        row = {"first": places.start, "problems": len(places), "member": members.start, "seconds": seconds}
        with self.path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(row) + "\n")

    def total(self) -> float:
        """For a chunk that was answered twice, since a kill came between items and clock, the last time counts."""
        if not self.path.is_file():
            return 0.0
        seconds: dict[tuple[int, int], float] = {}
        for line in self.path.read_bytes().splitlines():
            # A line torn by a kill is no time, and no reason not to go on.
            with suppress(ValueError, RecursionError):
                match json.loads(line):
                    case {"first": int(first), "member": int(member), "seconds": float(spent)}:
                        seconds[member, first] = spent
                    case {"first": int(first), "seconds": float(spent)}:
                        seconds[0, first] = spent
        return sum(seconds.values())
