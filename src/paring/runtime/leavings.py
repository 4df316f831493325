"""What killed processes and ended runs leave behind: found in the folders that hold it, and removed when asked."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from paring.runtime.files import is_leftover
from paring.runtime.folder import STUDY_RECORD, RunFolder
from paring.runtime.kept import best_of, newest_first
from paring.runtime.lock import run_lock

_MARKS = ("run.toml", "study.toml", "evaluation.json", STUDY_RECORD)
"""The files by which a folder is known as ours."""


@dataclass(frozen=True)
class Leaving:
    """A file or folder of no more use, its size in bytes, and why it is of none."""

    path: Path
    size: int
    why: str

    def remove(self) -> None:
        if self.path.is_dir() and not self.path.is_symlink():
            shutil.rmtree(self.path)
        else:
            self.path.unlink(missing_ok=True)


def collect(place: Path, *, remove: bool) -> tuple[list[Leaving], list[str]]:
    """What is left in the runs, studies and evaluations under `place`, which is removed where `remove` says so; and
    the folders that were left out since a process works there, or a file is not plain, in words. Links are not
    followed.

    Raises ValueError where there is no such folder."""
    if not place.is_dir():
        raise ValueError(f"{place} is no folder: name one that holds runs")
    found: list[Leaving] = []
    busy: list[str] = []
    for folder in sorted(_ours(place)):
        try:
            with run_lock(folder):
                RunFolder(folder).check_plain()
                here = list(_left_in(RunFolder(folder)))
                for leaving in here if remove else ():
                    leaving.remove()
                found += here
        except ValueError as error:  # RunIsBusy among them
            busy.append(str(error))
    return found, busy


def _ours(place: Path) -> set[Path]:
    return {path.parent for path in place.rglob("*") if path.name in _MARKS and path.is_file()}


def _left_in(run: RunFolder) -> Iterator[Leaving]:
    for parent in (run.path, run.checkpoints):
        if parent.is_dir() and not parent.is_symlink():
            for path in sorted(parent.iterdir()):
                if is_leftover(path):
                    yield Leaving(path, _size(path), "half written by a process that was killed")
    damaged = run.checkpoints / "damaged"
    if damaged.is_dir() and not damaged.is_symlink():
        yield Leaving(damaged, _size(damaged), "checkpoints that were damaged and passed over")
    if run.result.is_file():
        best = best_of(run.checkpoints)
        for step, path in list(newest_first(run.checkpoints))[1:]:
            if best is not None and step == best.step:
                continue
            yield Leaving(path, _size(path), "an older checkpoint of a run that has ended")


def _size(path: Path) -> int:
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(one.lstat().st_size for one in path.rglob("*"))
