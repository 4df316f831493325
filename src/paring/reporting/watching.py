"""Runs seen from outside: the list of those in a folder, and one followed while another process trains it."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from paring.reporting.by_task import tasks_in_words
from paring.reporting.runs import RunRecord, finite, mapping, read_run
from paring.runtime.folder import PACKED, RunFolder
from paring.runtime.kept import best_of
from paring.runtime.members import members
from paring.runtime.screen import Screen
from paring.runtime.tables import Table
from paring.runtime.text import duration, one_line, percent
from paring.types import Json, JsonObject

DEEPEST = 3
"""Folders below the one that is named in which runs are looked for."""
LONGEST_FAULT = 200
PAUSE = 0.5
"""Seconds between two looks at a run."""


@dataclass(frozen=True)
class Listed:
    """A run of a list. `best`: the best checkpoint, where it keeps one. `age`: seconds since its journal last grew.
    `fault`: what is damaged."""

    folder: Path
    what: str
    state: str
    step: int
    steps: int
    result: str
    best: str
    age: float
    fault: str = ""

    def as_plain(self) -> dict[str, Json]:
        return {name: str(value) if isinstance(value, Path) else value for name, value in vars(self).items()}


def runs_in(folder: Path, now: Callable[[], float] = time.time) -> list[Listed]:
    """The runs in a folder, or it itself; the one that changed last comes first. Raises ValueError where none is."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder; runs are written to runs/ unless --out names another")
    found = [_listed(run, now()) for run in _run_folders(folder, DEEPEST)]
    if not found:
        raise ValueError(f"{folder} holds no run: begin one with  paring train quickstart")
    return sorted(found, key=lambda one: one.age)


def runs_table(runs: list[Listed]) -> Table:
    rows = [
        [
            str(one.folder),
            one.what,
            one.state,
            "" if one.fault else f"{one.step}/{one.steps}",
            one.result,
            one.best,
            _ago(one.age),
        ]
        for one in runs
    ]
    names = ("run", "what", "state", "step", "result", "best", "changed")
    return Table(names, rows, words=frozenset({1, 2, 4, 5}))


def _ago(seconds: float) -> str:
    return f"{duration(seconds)} ago"


def watch(
    path: Path, screen: Screen, *, pause: Callable[[], object] = lambda: time.sleep(PAUSE), forever: bool = True
) -> str:
    """Show a run that another process trains, until it has its result or its process is gone. Returns how it ended.
    `forever`: also while no process can be seen at work, as on another machine that shares the folder.

    Raises ValueError where there is no run."""
    folder = RunFolder(path)
    recipe = folder.read_recipe()
    steps, rows, is_shown = int(finite(recipe.get("steps")) or 0), _Tail(folder.metrics), False
    samples, seen = [_Tail(folder.plain_samples), _Tail(folder.packed_samples)], -1
    while True:
        ended, at_work = folder.result.is_file(), _is_at_work(path)
        new, answers = list(rows.read()), [row for tail in samples for row in tail.read()]
        if rows.begun_again:
            is_shown = False
        if new and not is_shown:
            screen.finish()
            done = int(finite(new[-1].get("step")) or 0) - 1
            screen.start(f"{_what(recipe)} in {path}", steps, max(0, done), history=new[:-1])
            new, is_shown = new[-1:], True
        for row in new:
            screen.step(row)
            seen = int(finite(row.get("step")) or 0)
        for row in [row for row in answers if row.get("step") == seen][:1]:
            _show(row, screen)
        if ended:
            return f"{path} has come to its end"
        if at_work is False and not forever:
            return f"{path} has stopped at step {max(0, seen)} of {steps}; go on with:  paring train --resume {path}"
        pause()


class _Tail:
    """The rows that are added to a file of JSON lines; from the start again where the file was cut back."""

    def __init__(self, path: Path) -> None:
        self._path, self._end, self.begun_again = path, 0, False

    def read(self) -> Iterator[JsonObject]:
        self.begun_again = False
        if not self._path.is_file():
            return
        with open(self._path, "rb") as file:
            if file.seek(0, os.SEEK_END) < self._end:
                self._end, self.begun_again = 0, True
            file.seek(self._end)
            for line in self._lines(file):
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError):
                    continue  # `paring report` names what is damaged
                if isinstance(row, dict):
                    yield row

    def _lines(self, file: BinaryIO) -> Iterator[bytes]:
        """The whole lines that are new; what is still being written comes with the next look."""
        if self._path.suffix == PACKED:
            with suppress(ValueError):
                for content, self._end in members(file):
                    yield from content.splitlines()
            return
        for line in file:
            if not line.endswith(b"\n"):
                return
            self._end += len(line)
            yield line


def _show(row: JsonObject, screen: Screen) -> None:
    prompt = row.get("prompt")
    last = mapping(prompt[-1]) if isinstance(prompt, list) and prompt else {}
    screen.sample(str(last.get("content", "")), str(row.get("completion", "")), finite(row.get("reward")) or 0.0)


def _run_folders(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / "run.toml").is_file():
        yield folder
    elif depth > 0:
        for inner in sorted(place for place in folder.iterdir() if place.is_dir() and not place.is_symlink()):
            yield from _run_folders(inner, depth - 1)


def _listed(path: Path, now: float) -> Listed:
    try:
        run = read_run(path)
    except ValueError as error:
        age, fault = max(0.0, now - path.stat().st_mtime), one_line(str(error), LONGEST_FAULT)
        return Listed(path, "", "damaged", 0, 0, "", "", age, fault)
    folder = RunFolder(path)
    changed = max(one.stat().st_mtime for one in (folder.recipe, folder.metrics, folder.result) if one.is_file())
    at_work = _is_at_work(path)
    state = "finished" if run.result is not None else "running" if at_work else "stopped"
    if run.result is None and at_work is None:
        state = "not finished"
    best = str(best_of(folder.checkpoints) or "")
    return Listed(path, _what(run.recipe), state, run.step, run.steps, _result(run), best, max(0.0, now - changed))


def _what(recipe: JsonObject) -> str:
    if recipe.get("method") == "sft":
        data = mapping(recipe.get("data"))
        return f"sft on {Path(str(data.get('data') or data.get('path') or 'data')).name}"
    return f"{mapping(recipe.get('objective')).get('kind', 'rgra')} on {tasks_in_words(recipe.get('task'))}"


def _result(run: RunRecord) -> str:
    """Accuracy or loss before and after; of a run under way, its last reward or loss."""
    before, after = run.evaluation("before"), run.evaluation("after")
    for name, write in (("accuracy", percent), ("loss", "{:.4f}".format)):
        old, new = finite(before.get(name)), finite(after.get(name))
        if old is not None and new is not None:
            return f"{name} {write(old)} -> {write(new)}" + (" %" if name == "accuracy" else "")
    for name in ("reward", "loss"):
        if last := list(run.series(name))[-1:]:
            return f"{name} {last[0][1]:.3g}"
    return ""


def _is_at_work(path: Path) -> bool | None:
    """Whether the process that took the run's lock last still lives; None where this machine cannot tell."""
    import socket

    try:
        holder = mapping(json.loads((path / ".lock").read_bytes()[:4096]))
    except FileNotFoundError:
        return False
    except (OSError, ValueError, RecursionError):
        return None
    pid = holder.get("pid")
    if sys.platform == "win32" or holder.get("host") != socket.gethostname() or not isinstance(pid, int):
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
