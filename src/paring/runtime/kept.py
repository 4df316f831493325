"""The checkpoints that a run keeps: which there are, which may go, and which is the best. Loads no tensors."""

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from paring.runtime.files import remove_folder, standing
from paring.runtime.folder import RunFolder
from paring.runtime.journal import read_rows
from paring.runtime.manifest import Unusable, checked_names, read_json
from paring.runtime.text import percent

_FOLDER = re.compile(r"(?P<hidden>\.)?(?P<name>step-(?P<step>[0-9]{1,18}))(?(hidden)\.replaced)")


@dataclass(frozen=True)
class Best:
    """The step that does best on what is held out, by `figure`: the highest accuracy or the lowest loss."""

    step: int
    figure: str
    value: float

    @classmethod
    def of(cls, step: int, measured: Mapping[str, object]) -> "Best":
        """A step by an evaluation as plain values."""
        figure = "accuracy" if "accuracy" in measured else "loss"
        return cls(step, figure, float(str(measured[figure])))

    def beats(self, other: "Best | None") -> bool:
        """Whether this one is better; among equals the earlier stays the best."""
        if other is None:
            return True
        return self.value > other.value if self.figure == "accuracy" else self.value < other.value

    def __str__(self) -> str:
        value = f"{percent(self.value)} %" if self.figure == "accuracy" else f"{self.value:.4g}"
        return f"{self.figure} {value} at step {self.step}"


def step_name(step: int) -> str:
    """The name of a checkpoint's folder."""
    return f"step-{step:06d}"


def newest_first(folder: Path) -> Iterator[tuple[int, Path]]:
    """(step, path) by step, whatever the clock says; of two spellings of a step ours comes first."""
    matches = [_FOLDER.fullmatch(entry.name) for entry in folder.iterdir()] if folder.exists() else []
    found = {(int(match["step"]), match["name"]) for match in matches if match}
    for step, name in sorted(found, key=lambda pair: (pair[0], pair[1] == step_name(pair[0]), pair[1]), reverse=True):
        yield step, folder / name


def best_of(folder: Path) -> Best | None:
    """The best checkpoint, by the record of the newest; None where the run keeps none, or has measured nothing yet."""
    for _, target in newest_first(folder):
        with suppress(Unusable):
            state = read_json(standing(target) / "state.json")
            match state:
                case {
                    "progress": {
                        "best": {"step": int(step), "figure": "accuracy" | "loss" as figure, "value": float(value)}
                    }
                } if step > 0:
                    return Best(step, figure, value)
                case _:
                    return None
    return None


def rotate(folder: Path, step: int, keep: int) -> None:
    """Remove all but the newest `keep` complete checkpoints up to `step`, and the best.

    Complete means the same here as in reading, hashes included: a damaged checkpoint must not push out a sound one.

    Those above `step`, left by a run that went further, do not count: they must not push out what was just saved.
    """
    complete, best = 0, best_of(folder)
    for found, target in newest_first(folder):
        if found > step:
            continue
        path = standing(target)
        if complete < keep:
            with suppress(Unusable):
                checked_names(path, found)
                complete += 1
            continue
        if best is not None and found == best.step:
            continue
        try:
            remove_folder(path)
        except OSError as error:
            warnings.warn(f"the old checkpoint {path} could not be removed: {error}", stacklevel=3)


def check_never_saved(run: RunFolder, every: int) -> None:
    """Raises ValueError where the journal of a run without a checkpoint tells of a step after one was due, `every` so
    many steps: to begin at 0 would empty it."""
    dropped, due = 0, False
    for row in read_rows(run.metrics) if run.metrics.is_file() else ():
        if due:
            raise ValueError(
                f"{run.path}: {run.metrics.name} tells of step {row['step']}, and {run.checkpoints} holds no "
                "checkpoint: put the checkpoints back, or begin a new run with --out"
            )
        due = every > 0 and row["step"] % every == 0 and row.get("dropped_steps", 0) == dropped
        dropped = row.get("dropped_steps", 0)
