"""One run folder, read for a report: what is missing or damaged in it is named, and the rest is used."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from paring.maths.estimates import unpaired_difference
from paring.runtime.folder import RunFolder
from paring.runtime.journal import read_rows
from paring.runtime.text import percent
from paring.types import JsonObject

COURSE = ("step", "reward", "accuracy", "length", "entropy", "kl")
"""What the journal says of a step's answers and of the policy, whatever the objective."""
FALLEN, CHANCE = 0.5, 0.05
"""A run that ends below this share of its base's accuracy has collapsed, if chance at this level is no cause."""
LARGEST = 1e100
"""Values beyond this were not measured. Sums and squares of smaller ones stay finite."""


@dataclass(frozen=True)
class RunRecord:
    """A run, as its folder shows it.

    rows      the lines of metrics.jsonl, in order
    result    result.json; None where the run has not come to its end
    items     problem -> whether it was answered rightly after training; empty where there is no record
    missing   what a report would need and the folder does not hold, in words
    """

    folder: Path
    recipe: JsonObject
    rows: tuple[JsonObject, ...]
    result: JsonObject | None
    items: dict[str, bool]
    missing: tuple[str, ...]

    @property
    def seed(self) -> int:
        return whole(self.recipe.get("seed")) or 0

    @property
    def step(self) -> int:
        return int(finite(self.rows[-1].get("step")) or 0) if self.rows else 0

    @property
    def steps(self) -> int:
        return int(finite(self.recipe.get("steps")) or 0)

    @property
    def state(self) -> str:
        """Finished, or the step it has reached. A folder does not show whether the run goes on."""
        return "finished" if self.result is not None else f"step {self.step} of {self.steps}, no result"

    @property
    def samples_answers(self) -> bool:
        """Whether it is a run of reinforcement learning: a supervised one samples nothing."""
        return self.recipe.get("method", "rl") == "rl"

    @property
    def sampled(self) -> int | None:
        """Answers that the steps so far sampled, those to redrawn problems among them. None where nothing was sampled
        (steps on solutions have no entropy, supervised runs no rollout), or the recipe lacks the numbers."""
        rollout = mapping(self.recipe.get("rollout"))
        steps = [row for row in self.rows if "entropy" in row]
        problems, group_size = (finite(rollout.get(name)) or 0 for name in ("problems", "group_size"))
        return int(group_size * sum(problems + (finite(row.get("redrawn")) or 0) for row in steps)) or None

    @cached_property
    def collapse(self) -> JsonObject | None:
        """The record of its collapse, with the "step" that noticed it."""
        for row in self.rows:
            if collapse := mapping(row.get("collapse")):
                return {**collapse, "step": row.get("step")}
        if collapse := mapping(self.ended("collapse")):
            return collapse
        return {"kind": "accuracy", "words": self.fell} if self.fell else None

    @cached_property
    def fell(self) -> str | None:
        """Whether the measured accuracy ended below `FALLEN` of the base's own, beyond chance: the words, "" where it
        did not, None where it was not measured before and after. The reward may hide it, where form is rewarded."""
        before, after = (finite(self.evaluation(when).get("accuracy")) for when in ("before", "after"))
        problems = whole(self.evaluation("after").get("problems"))
        if before is None or after is None or not problems:
            return None
        counts = round(before * problems), problems, round(after * problems), problems
        if after >= FALLEN * before or unpaired_difference(*counts).p >= CHANCE:
            return ""
        return (
            f"collapse of the accuracy: {percent(after)} % on the test problems after training, less than "
            f"{FALLEN:.0%} of the {percent(before)} % before it"
        )

    def ended(self, name: str) -> object:
        return (self.result or {}).get(name)

    def evaluation(self, when: str) -> JsonObject:
        """The evaluation `before` or `after` training, empty where there is none."""
        return mapping(self.ended(when))

    def is_copy_of(self, other: "RunRecord") -> bool:
        """Whether both gave the same answers: the journalled course of the samples, and the measured answers, are equal
        to the last digit. False where a run lacks a journal, so that there is nothing to tell by."""
        course, theirs = ([tuple(row.get(name) for name in COURSE) for row in run.rows] for run in (self, other))
        ends, others = (
            {name: value for name, value in run.evaluation("after").items() if name != "seconds"}
            for run in (self, other)
        )
        return bool(course) and course == theirs and ends == others and self.items == other.items

    def series(self, metric: str, *within: str) -> Iterator[tuple[int, float]]:
        """Step and value wherever the value is a finite number; `within` are the names of the objects of a row that
        hold it, from the outermost: ("tasks", "sums") for one of several tasks."""
        for row in self.rows:
            own = row
            for name in within:
                own = mapping(own.get(name))
            step, value = finite(row.get("step")), finite(own.get(metric))
            if step is not None and value is not None:
                yield int(step), value


def read_run(path: Path) -> RunRecord:
    """The run in this folder. Raises ValueError where there is none, or its recipe cannot be read."""
    folder = RunFolder(path)
    recipe: JsonObject = dict(folder.read_recipe())
    missing: list[str] = []
    rows: list[JsonObject] = []
    result: JsonObject | None = None
    items: dict[str, bool] = {}
    try:
        rows.extend(read_rows(folder.metrics))
    except FileNotFoundError:
        missing.append(f"no {folder.metrics.name}: it made no step")
    except ValueError as error:
        missing.append(f"{folder.metrics.name} is damaged; used are the {len(rows)} rows before ({error})")
    try:
        content = json.loads(folder.result.read_bytes())
        if not isinstance(content, dict):
            raise ValueError("it holds no object")
        result = content
    except FileNotFoundError:
        missing.append(f"no {folder.result.name}: it has not come to its end")
    except (ValueError, RecursionError) as error:
        missing.append(f"{folder.result.name} is damaged and left out ({error})")
    try:
        answers = [(row.get("problem"), row.get("correct")) for row in read_rows(folder.items)]
        items = {name: right for name, right in answers if isinstance(name, str) and isinstance(right, bool)}
    except FileNotFoundError:
        if result is not None and recipe.get("method", "rl") == "rl":
            missing.append(f"no {folder.items.name}: its answers cannot be paired with another run's")
    except ValueError as error:
        missing.append(f"{folder.items.name} is damaged and left out ({error})")
    return RunRecord(path, recipe, tuple(rows), result, items, tuple(missing))


def finite(value: object) -> float | None:
    """A number of a file; None for anything else: text, a truth value, not a number, beyond all measure."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < LARGEST else None


def whole(value: object) -> int | None:
    """A whole number of a file; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def mapping(value: object) -> JsonObject:
    """An object of a file; empty for anything else."""
    return value if isinstance(value, dict) else {}


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of those that are known; None where none is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
