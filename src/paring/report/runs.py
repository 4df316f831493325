"""One run folder, read for a report: whatever is missing or damaged in it is said, and the rest is used."""

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from paring.runtime.journal import read_rows

RECIPE = "run.toml"
LARGEST = 1e100
"""What is not below it was not measured; sums and squares of what is stay finite."""


@dataclass(frozen=True)
class RunRecord:
    """A run as its folder tells it. `result` is None where it has not come to its end."""

    folder: Path
    recipe: dict[str, Any]
    rows: tuple[dict[str, Any], ...]
    """Of metrics.jsonl, in order."""
    result: dict[str, Any] | None
    items: dict[str, bool]
    """Of items.jsonl: whether each test problem was answered rightly after training; empty where there is no record."""
    missing: tuple[str, ...]
    """What a report would want and the folder does not hold, in words."""

    @property
    def seed(self) -> int:
        seed = self.recipe.get("seed", 0)
        return seed if type(seed) is int else 0

    @property
    def step(self) -> int:
        """The last step that was made."""
        return int(finite(self.rows[-1].get("step")) or 0) if self.rows else 0

    @property
    def steps(self) -> int:
        """The steps that were asked for."""
        return int(finite(self.recipe.get("steps")) or 0)

    @property
    def state(self) -> str:
        """Finished, or how far it came. Whether it still runs, a folder cannot tell."""
        return "finished" if self.result is not None else f"step {self.step} of {self.steps}, no result"

    @property
    def sampled(self) -> int | None:
        """Answers sampled by the steps that were made, those to problems that others were drawn for among them. None
        where nothing was sampled, since steps of solutions have no entropy and supervised runs no rollout, or where the
        recipe does not tell."""
        rollout = self.recipe.get("rollout")
        steps = [row for row in self.rows if "entropy" in row]
        if not isinstance(rollout, dict) or not steps:
            return None
        problems, group_size = (finite(rollout.get(name)) or 0 for name in ("problems", "group_size"))
        return int(group_size * sum(problems + (finite(row.get("redrawn")) or 0) for row in steps)) or None

    @cached_property
    def collapse(self) -> dict[str, Any] | None:
        """What the run said of its collapse, with the "step" at which it was detected."""
        row = next((row for row in self.rows if isinstance(row.get("collapse"), dict)), None)
        if row is not None:
            return row["collapse"] | {"step": row.get("step")}
        said = (self.result or {}).get("collapse")
        return said if isinstance(said, dict) else None

    def evaluation(self, when: str) -> dict[str, Any]:
        """The evaluation `before` or `after` training, empty where there is none."""
        found = (self.result or {}).get(when)
        return found if isinstance(found, dict) else {}

    def series(self, metric: str) -> Iterator[tuple[int, float]]:
        """Step and value wherever the value is a finite number."""
        for row in self.rows:
            step, value = finite(row.get("step")), finite(row.get(metric))
            if step is not None and value is not None:
                yield int(step), value


def is_run(folder: Path) -> bool:
    return (folder / RECIPE).is_file()


def read_run(folder: Path) -> RunRecord:
    """The run in this folder. Raises ValueError where there is none, or its recipe cannot be read."""
    path = folder / RECIPE
    if not path.is_file():
        raise ValueError(f"{folder} holds no run: there is no {RECIPE} in it")
    try:
        recipe = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: damaged ({error})") from error
    missing: list[str] = []
    rows = _rows(folder / "metrics.jsonl", missing)
    result = _result(folder / "result.json", missing)
    items = _items(folder / "items.jsonl", missing, wanted=result is not None and recipe.get("method", "rl") == "rl")
    return RunRecord(folder, recipe, rows, result, items, tuple(missing))


def finite(value: Any) -> float | None:
    """A number of a file, or None for anything else: text, null, a truth value, not a number, out of all measure."""
    return float(value) if type(value) in (int, float) and abs(value) < LARGEST else None


def _rows(path: Path, missing: list[str]) -> tuple[dict[str, Any], ...]:
    """All rows before the first damaged one."""
    rows: list[dict[str, Any]] = []
    try:
        rows.extend(read_rows(path))
    except FileNotFoundError:
        missing.append(f"no {path.name}: it made no step")
    except ValueError as error:
        missing.append(f"{path.name} is damaged; used are the {len(rows)} rows before ({error})")
    return tuple(rows)


def _result(path: Path, missing: list[str]) -> dict[str, Any] | None:
    try:
        result = json.loads(path.read_bytes())
    except FileNotFoundError:
        missing.append(f"no {path.name}: it has not come to its end")
        return None
    except (ValueError, RecursionError) as error:
        missing.append(f"{path.name} is damaged and left out ({error})")
        return None
    if not isinstance(result, dict):
        missing.append(f"{path.name} is damaged and left out (it holds no object)")
        return None
    return result


def _items(path: Path, missing: list[str], *, wanted: bool) -> dict[str, bool]:
    if not path.is_file():
        if wanted:
            missing.append(f"no {path.name}: its answers cannot be paired with another run's")
        return {}
    try:
        return {
            row["problem"]: row["correct"]
            for row in read_rows(path)
            if isinstance(row.get("problem"), str) and isinstance(row.get("correct"), bool)
        }
    except ValueError as error:
        missing.append(f"{path.name} is damaged and left out ({error})")
        return {}
