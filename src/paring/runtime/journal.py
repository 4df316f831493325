"""The record of a run: metrics, samples and rank events, one strict JSON object a line."""

import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from paring.runtime.files import sync
from paring.runtime.folder import PACKED, RunFolder
from paring.runtime.glossary import METRICS, Metrics, UnknownMetric
from paring.runtime.members import members, packed
from paring.types import Json


class Journal:
    """Appends to `folder`/metrics.jsonl, samples.jsonl and, where `ranks` can move, ranks.jsonl. The folder must
    exist; a line torn by a kill is cut off.

    `samples_every`: the answers of every so many steps are kept, and those of the first; `compress`: they go to
    samples.jsonl.gz in the place of samples.jsonl."""

    def __init__(self, folder: Path, *, ranks: bool = False, samples_every: int = 1, compress: bool = False):
        names = RunFolder(folder)
        self._every = samples_every
        self._metrics = _Lines(names.metrics)
        self._samples = _Lines(names.packed_samples if compress else names.plain_samples)
        self._ranks = _Lines(names.ranks) if ranks else None
        self._files = [file for file in (self._metrics, self._samples, self._ranks) if file is not None]
        sync(folder)

    def record(self, metrics: Metrics) -> None:
        """Write the metrics of one step, "step" among them. Raises UnknownMetric, OSError if the disk refuses."""
        for name in metrics:
            if name not in METRICS:
                raise UnknownMetric(name)
        self._metrics.append([metrics])

    def samples(self, rows: Sequence[Mapping[str, Json]]) -> None:
        """Write the answers of one step, each row with its "step", where that step's are kept. A text may hold every
        character. Raises OSError."""
        step = rows[0]["step"] if rows else None
        if isinstance(step, int) and (step == 1 or step % self._every == 0):
            self._samples.append(rows)

    def ranks(self, event: Mapping[str, Json]) -> None:
        """Write a rank event, with its "step". Raises OSError."""
        assert self._ranks is not None, "this run has no ranks that move"
        self._ranks.append([event])

    def rewind(self, step: int) -> None:
        """Cut off every row above `step`, as if the run had stopped right after it."""
        for file in self._files:
            file.rewind(step)

    def check_whole(self, step: int, *, answers: bool) -> None:
        """Raises ValueError where a step up to `step` lacks its metrics, or the last one its `answers`."""
        self._metrics.check_whole(step)
        if answers:
            self._samples.check_reaches(max(step - step % self._every, min(step, 1)))

    def sync(self) -> None:
        """Wait until all rows are on the disk. Before a checkpoint is saved, so that its record is there too."""
        for file in self._files:
            sync(file.path)

    def close(self) -> None:
        """Sync, then let go of all files."""
        self.sync()
        for file in self._files:
            file.raw.close()


def append_row(path: Path, row: Mapping[str, Json]) -> None:
    """Add one row to a file of rows, durably. Raises OSError."""
    lines = _Lines(path)
    try:
        lines.append([row])
        sync(path)
    finally:
        lines.raw.close()


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file of this journal, in order; a last line torn by a kill is left out.

    Raises FileNotFoundError, and ValueError with file and line if a whole line is damaged.
    """
    for row, _ in _rows_and_ends(path):
        yield row


class _Lines:
    """One file of rows in the order of their steps: so to rewind is to cut, which needs no space and cannot be torn."""

    def __init__(self, path: Path):
        self.path = path
        # Unbuffered: what a failed write has left behind is in the file, where it can be cut off, and nowhere else.
        self.raw = open(path, "ab", buffering=0)
        self._last_step = 0
        self.raw.truncate(_end_of_whole(path))

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        for row in rows:
            assert row["step"] >= self._last_step, f"step {row['step']} after step {self._last_step}"
            self._last_step = row["step"]
        end = os.fstat(self.raw.fileno()).st_size
        lines = b"".join(map(_line, rows))
        data = memoryview(packed(lines) if self.path.suffix == PACKED else lines)
        try:
            while data:
                data = data[self.raw.write(data) :]
        except OSError as error:
            self.raw.truncate(end)
            free = shutil.disk_usage(self.path.parent).free
            raise OSError(
                error.errno,
                f"step {self._last_step} was not put on record ({error.strerror}): it needs {len(data)} bytes more and "
                f"{free} are free there. Make room; the run resumes from its newest checkpoint",
                str(self.path),
            ) from error

    def check_whole(self, step: int) -> None:
        if [made for made, _ in islice(self._steps(), step)] != list(range(1, step + 1)):
            self._incomplete(step)

    def check_reaches(self, step: int) -> None:
        if step and all(made != step for made, _ in self._steps()):
            self._incomplete(step)

    def rewind(self, step: int) -> None:
        end = 0
        for made, row_end in self._steps():
            if made > step:
                break
            end = row_end
        self.raw.truncate(end)
        self._last_step = step

    def _steps(self) -> Iterator[tuple[int, int]]:
        """The step of each row, and where its line ends. Raises ValueError for a row without one."""
        for number, (row, end) in enumerate(_rows_and_ends(self.path), start=1):
            if not isinstance(made := row.get("step"), int):
                raise ValueError(f"{self.path}, line {number}: damaged, restore it or remove the line (it has no step)")
            yield made, end

    def _incomplete(self, step: int) -> None:
        raise ValueError(
            f"{self.path} does not tell of every step up to {step}, where the newest checkpoint is: put the whole file "
            "back, or begin a new run with --out"
        )


def _line(row: Mapping[str, Json]) -> bytes:
    """ASCII only: so lone surrogates can be written, and `cat` sends no control character of a model to a terminal."""
    nonfinite: list[str] = []
    strict: dict[str, Json] = {name: _strict(value, name, nonfinite) for name, value in row.items()}
    if nonfinite:
        strict["nonfinite"] = nonfinite
    return json.dumps(strict, allow_nan=False).encode("ascii") + b"\n"


def _strict(value: Json, name: str, nonfinite: list[str]) -> Json:
    """The value with null for each number that is not finite; its dotted name is added to `nonfinite`."""
    if isinstance(value, float) and not math.isfinite(value):
        nonfinite.append(name)
        return None
    if isinstance(value, dict):
        return {key: _strict(inner, f"{name}.{key}", nonfinite) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(inner, f"{name}.{index}", nonfinite) for index, inner in enumerate(value)]
    return value


def _rows_and_ends(path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """Each row and the offset in bytes at which its line, or the member that holds it, ends."""
    for number, (line, end) in enumerate(_lines_and_ends(path), start=1):
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError("it holds no object")
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}, line {number}: damaged, restore it or remove the line ({error})") from error
        yield row, end


def _lines_and_ends(path: Path) -> Iterator[tuple[bytes, int]]:
    with open(path, "rb") as file:
        if path.suffix == PACKED:
            for content, end in _members(file, path):
                for line in content.split(b"\n")[:-1]:
                    yield line, end
            return
        end = 0
        for line in file:
            if not line.endswith(b"\n"):
                return
            end += len(line)
            yield line, end


def _members(file: BinaryIO, path: Path) -> Iterator[tuple[bytes, int]]:
    try:
        yield from members(file)
    except ValueError as error:
        raise ValueError(f"{path}: damaged, restore it or remove it ({error})") from error


def _end_of_whole(path: Path) -> int:
    """The offset behind the last line break, searched from the end in blocks: the file may be large. In a compressed
    file it is the offset behind the last whole member."""
    with open(path, "rb") as file:
        if path.suffix == PACKED:
            return max((end for _, end in _members(file, path)), default=0)
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            if (found := file.read(end - start).rfind(b"\n")) >= 0:
                return start + found + 1
            end = start
    return 0
