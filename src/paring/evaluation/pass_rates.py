"""Pass rates: the problems whose share of right answers is in a range, as data; and a run's problems by them."""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from paring.evaluation.items import Item
from paring.runtime.faults import RowFault
from paring.runtime.json_files import line_values
from paring.runtime.sources import Source
from paring.runtime.tables import Table
from paring.runtime.text import percent
from paring.settings.complaints import DataError
from paring.tasks.base import Task
from paring.tasks.mixture import by_label, own_data_of
from paring.tasks.own_calls import NO_REWARD
from paring.types import Json, Problem

RATE, IDENTITY = "pass_rate", "paring_id"
"""The columns that a kept row has beside its own."""
SETTING = "rollout.only"


def pass_rate(item: Item) -> float | None:
    """The share of right answers, of those whose reward could be computed; None where none could."""
    correct = [answer.correct for answer in item.answers if answer.why != NO_REWARD]
    return sum(correct) / len(correct) if correct else None


@dataclass(frozen=True)
class PassRates:
    """Pass rates by the ids of problems, and the range of those that are kept, both ends among them."""

    by_id: Mapping[str, float | None]
    least: float
    most: float

    def holds(self, rate: float | None) -> bool:
        return rate is not None and self.least <= rate <= self.most

    @property
    def kept(self) -> dict[str, float]:
        return {name: rate for name, rate in self.by_id.items() if rate is not None and self.holds(rate)}

    @property
    def histogram(self) -> dict[str, tuple[int, int]]:
        """Problems, and those that are kept, by their rate in per cent; tenths that hold none are left out."""
        tenths = [f"{10 * tenth} to {10 * tenth + 10}" for tenth in range(10)]
        bins: dict[str, list[float | None]] = {name: [] for name in ("0", *tenths, "100", NO_REWARD)}
        for rate in self.by_id.values():
            whole = None if rate is None else {0.0: "0", 1.0: "100"}.get(rate, tenths[min(9, int(10 * rate))])
            bins[whole or NO_REWARD].append(rate)
        return {name: (len(rates), sum(map(self.holds, rates))) for name, rates in bins.items() if rates}

    def table(self) -> Table:
        total = max(1, len(self.by_id))
        rows = [(name, str(count), percent(count / total), str(kept)) for name, (count, kept) in self.histogram.items()]
        return Table(("pass rate, %", "problems", "% of all", "kept"), rows)


def rows_of(task: Task, problems: Sequence[Problem], rates: Mapping[str, float]) -> Iterator[dict[str, Json]]:
    """The problems as rows with their pass rates: as the user's data have them, else as question and answer. Raises as
    reading the data does."""
    rows: dict[str, Mapping[str, Json]] = {}
    for own, theirs in own_data_of(task, problems):
        by_place = {problem.place: problem.id for problem in theirs}
        for value, place in Source(own.data, "task.data", own.hub_config, own.revision).values(own.split, ()):
            if place in by_place and isinstance(value, dict):
                rows[by_place[place]] = value
    for problem in problems:
        row = rows.get(problem.id) or {"question": problem.messages[-1]["content"], "answer": problem.gold}
        yield {**row, RATE: rates[problem.id], IDENTITY: problem.id}


def training_problems(task: Task, only: str | None) -> Sequence[Problem]:
    """The problems that a run draws from: those of the train split, or of a file of kept rows alone. Raises
    FileNotFoundError or ValueError where the file is none, or holds no problem of the task, or of one of several."""
    problems = task.problems("train")
    if only is None:
        return problems
    kept = _ids_in(Path(only).expanduser())
    chosen = [problem for problem in problems if problem.id in kept]
    if empty := empty_tasks(task, problems, kept):
        raise ValueError(
            f"{SETTING} = {only!r}: none of its {len(kept):,} problems is one that task {empty[0]} trains on; filter "
            "the problems of this very recipe: paring filter"
        )
    return chosen


def empty_tasks(task: Task, problems: Sequence[Problem], kept: Container[str]) -> list[str]:
    """The labels of the tasks of which no problem is kept; of a single task its name."""
    return [
        label or task.name
        for label, own in by_label(task, problems).items()
        if not any(problem.id in kept for problem in own)
    ]


def _ids_in(path: Path) -> set[str]:
    if not path.is_file():
        raise FileNotFoundError(f"{SETTING} = {str(path)!r}: there is no such file; paring filter writes one")
    found = set()
    with path.open("rb") as file:
        for value, place in line_values(file, path):
            if isinstance(value, RowFault):
                raise value
            name = value.get(IDENTITY) if isinstance(value, dict) else None
            if not isinstance(name, str):
                raise DataError(f"{place}: no {IDENTITY!r} in the row; {SETTING} takes a file that paring filter wrote")
            found.add(name)
    return found
