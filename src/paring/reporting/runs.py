"""One run folder, read for a report: what is missing or damaged in it is named, and the rest is used."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from paring.runtime.folder import RunFolder
from paring.runtime.journal import read_rows
from paring.types import JsonObject

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
        """The last step that was made."""
        return int(finite(self.rows[-1].get("step")) or 0) if self.rows else 0

    @property
    def steps(self) -> int:
        """The steps that the recipe plans."""
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
        row = next((row for row in self.rows if mapping(row.get("collapse"))), None)
        if row is not None:
            return {**mapping(row["collapse"]), "step": row.get("step")}
        return mapping(self.ended("collapse")) or None

    def ended(self, name: str) -> object:
        """A value of its result, None without one."""
        return (self.result or {}).get(name)

    def evaluation(self, when: str) -> JsonObject:
        """The evaluation `before` or `after` training, empty where there is none."""
        return mapping(self.ended(when))

    def series(self, metric: str) -> Iterator[tuple[int, float]]:
        """Step and value wherever the value is a finite number."""
        for row in self.rows:
            step, value = finite(row.get("step")), finite(row.get(metric))
            if step is not None and value is not None:
                yield int(step), value


def read_run(path: Path) -> RunRecord:
    """The run in this folder. Raises ValueError where there is none, or its recipe cannot be read."""
    folder = RunFolder(path)
    recipe: JsonObject = dict(folder.read_recipe())
    missing: list[str] = []
    rows = _rows(folder.metrics, missing)
    result = _result(folder.result, missing)
    items = _items(folder.items, missing)
    if not folder.items.is_file() and result is not None and recipe.get("method", "rl") == "rl":
        missing.append(f"no {folder.items.name}: its answers cannot be paired with another run's")
    return RunRecord(path, recipe, rows, result, items, tuple(missing))


def finite(value: object) -> float | None:
    """A number of a file; None for anything else: text, null, a truth value, not a number, beyond all measure."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < LARGEST else None


def whole(value: object) -> int | None:
    """A whole number of a file; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def mapping(value: object) -> JsonObject:
    """An object of a file; empty for anything else."""
    return value if isinstance(value, dict) else {}


def _rows(path: Path, missing: list[str]) -> tuple[JsonObject, ...]:
    """All rows before the first damaged one."""
    rows: list[JsonObject] = []
    try:
        rows.extend(read_rows(path))
    except FileNotFoundError:
        missing.append(f"no {path.name}: it made no step")
    except ValueError as error:
        missing.append(f"{path.name} is damaged; used are the {len(rows)} rows before ({error})")
    return tuple(rows)


def _result(path: Path, missing: list[str]) -> JsonObject | None:
    try:
        result = json.loads(path.read_bytes())
        if isinstance(result, dict):
            return result
        missing.append(f"{path.name} is damaged and left out (it holds no object)")
    except FileNotFoundError:
        missing.append(f"no {path.name}: it has not come to its end")
    except (ValueError, RecursionError) as error:
        missing.append(f"{path.name} is damaged and left out ({error})")
    return None


def _items(path: Path, missing: list[str]) -> dict[str, bool]:
    try:
        rows = [(row.get("problem"), row.get("correct")) for row in read_rows(path)] if path.is_file() else []
    except ValueError as error:
        missing.append(f"{path.name} is damaged and left out ({error})")
        return {}
    return {problem: right for problem, right in rows if isinstance(problem, str) and isinstance(right, bool)}
