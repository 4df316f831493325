"""A run made again from its own recipe, and held to its record: the same files, or the first thing that differs."""

import json
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory

from paring.runtime.facts import facts_of_this_process
from paring.runtime.files import sha256_of
from paring.runtime.folder import RunFolder
from paring.runtime.journal import read_rows
from paring.runtime.screen import Screen
from paring.runtime.tables import Table
from paring.runtime.text import one_line, visible
from paring.settings.options import OptionError
from paring.training.config import load_run
from paring.training.method import train
from paring.types import Json

MEASURED = ("seconds", "memory", "per_second", "peak", "notes", "canary_gap", "asked_again")
"""Parts of the names of metrics that hang on the clock or the machine."""
LONGEST = 60
"""Characters of a value that is shown."""


@dataclass(frozen=True)
class FileCheck:
    """A file of the run, and its SHA-256 then and now; None where it is not there."""

    name: str
    then: str | None
    now: str | None


@dataclass(frozen=True)
class Verified:
    """A run and its rerun, file by file. `first`: the first thing that differs; `notes`: what is not as it was."""

    run: Path
    files: tuple[FileCheck, ...]
    first: str | None
    notes: tuple[str, ...]

    @property
    def is_same(self) -> bool:
        return self.first is None and all(file.then == file.now for file in self.files)

    def as_plain(self) -> dict[str, Json]:
        return asdict(self) | {"run": str(self.run), "same": self.is_same}

    def __str__(self) -> str:
        rows = [
            [file.name, "the same" if file.then == file.now else "differs", (file.now or "missing")[:16]]
            for file in self.files
        ]
        lines = Table(("file", "rerun", "sha256"), rows, words=frozenset({1, 2})).as_text()
        verdict = f"{self.run}: made again, the same bytes" if self.is_same else f"{self.run}: made again, it differs"
        first = [] if self.first is None else [f"first difference: {self.first}"]
        return "\n".join([*lines, *first, *(f"note: {note}" for note in self.notes), verdict])


def verified(run: str | Path, out: str | Path | None = None, *, screen: Screen | None = None) -> Verified:
    """Make a run again and compare. The rerun is kept in the folder `out`, where one that was stopped goes on; without
    it nothing is left.

    Raises ValueError where the run has no result, or the folder is not free; KeyboardInterrupt where it was stopped."""
    folder = RunFolder(Path(run).expanduser())
    recipe = load_run(folder.existing_recipe())
    if out is not None and Path(out).expanduser().resolve() == folder.path.resolve():
        raise OptionError(
            lambda option: f"{option.given('out', str(out))}: this is the run itself; choose another folder"
        )
    if folder.read_result() is None:
        raise ValueError(
            f"{folder.path} has not come to its end, so there is nothing to compare: go on with it by  paring train "
            f"--resume {folder.path}"
        )
    place = TemporaryDirectory() if out is None else nullcontext(str(Path(out).expanduser().parent))
    with place as name:
        again = RunFolder(Path(name) / ("again" if out is None else Path(out).name))
        result = train(replace(recipe, track=()), again.path, resume=again.recipe.is_file(), screen=screen)
        if result.values is None:
            raise KeyboardInterrupt
        files = tuple(_check(one, folder, again) for one in _names(folder, again))
        return Verified(folder.path, files, _first_difference(folder, again), tuple(_notes(folder)))


def _names(*folders: RunFolder) -> list[str]:
    """The files whose bytes are a function of the recipe."""
    return sorted(
        {
            str(path.relative_to(folder.path))
            for folder in folders
            for path in (*folder.adapter.glob("*"), folder.samples, folder.items, folder.ranks, folder.skipped)
            if path.is_file()
        }
    )


def _check(name: str, *folders: RunFolder) -> FileCheck:
    paths = [folder.path / name for folder in folders]
    return FileCheck(name, *(sha256_of(path) if path.is_file() else None for path in paths))


def _first_difference(then: RunFolder, now: RunFolder) -> str | None:
    """The first step whose metrics or answers differ, and in what."""
    found = list(_differing_metrics(then, now)) + list(_differing_answers(then, now))
    return min(found, key=lambda pair: pair[0])[1] if found else None


def _differing_metrics(then: RunFolder, now: RunFolder) -> Iterator[tuple[int, str]]:
    for number, (old, new) in enumerate(zip_longest(_rows(then.metrics), _rows(now.metrics)), start=1):
        if old is None or new is None:
            yield number, f"step {number}: it is in one journal alone"
            return
        for name in dict.fromkeys((*old, *new)):
            before, after = (_timeless(row.get(name)) for row in (old, new))
            if before != after and not _is_measured(name):
                yield number, f"step {number}: {visible(name)} was {_shown(before)}, and is {_shown(after)}"
                return


def _differing_answers(then: RunFolder, now: RunFolder) -> Iterator[tuple[int, str]]:
    for old, new in zip_longest(_rows(then.samples), _rows(now.samples)):
        if old != new:
            step = (old or new or {}).get("step")
            step = step if isinstance(step, int) else 0
            answers = [_shown((row or {}).get("completion")) for row in (old, new)]
            yield step, f"step {step}: an answer was {answers[0]}, and is {answers[1]}"
            return


def _rows(path: Path) -> Iterator[Mapping[str, Json]]:
    return read_rows(path) if path.is_file() else iter(())


def _is_measured(name: str) -> bool:
    return any(part in name for part in MEASURED)


def _timeless(value: Json) -> Json:
    if isinstance(value, dict):
        return {name: _timeless(inner) for name, inner in value.items() if not _is_measured(name)}
    return value


def _shown(value: Json) -> str:
    return one_line(json.dumps(value), LONGEST)


def _notes(folder: RunFolder) -> Iterator[str]:
    """Differences from the machine of the start that may move the last bits."""
    if folder.changes.is_file():
        yield f"inputs changed on the way ({folder.changes}); the rerun has the last of them from the beginning"
    first = next(iter(_rows(folder.starts)), {})
    here = facts_of_this_process()
    for name, what in {"cpu": "CPU", "versions": "versions", "system": "system"}.items():
        if name not in first:
            yield f"the run does not say on which {what} it was made"
        elif first[name] != here[name]:
            yield f"another {what}, so the last bits may differ: {_shown(first[name])} then, {_shown(here[name])} here"
