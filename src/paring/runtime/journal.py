"""The record of a run: metrics, samples and rank events, one strict JSON object a line."""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from paring.runtime.files import sync
from paring.runtime.folder import RunFolder
from paring.runtime.glossary import METRICS, Metrics, UnknownMetric
from paring.types import Json


class Journal:
    """Appends to `folder`/metrics.jsonl, samples.jsonl and, where `ranks` can move, ranks.jsonl. The folder must
    exist; a line torn by a kill is cut off."""

    def __init__(self, folder: Path, *, ranks: bool = False):
        names = RunFolder(folder)
        self._metrics, self._samples = _Lines(names.metrics), _Lines(names.samples)
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
        """Write the answers of one step, each row with its "step". A text may hold every character. Raises OSError."""
        self._samples.append(rows)

    def ranks(self, event: Mapping[str, Json]) -> None:
        """Write a rank event, with its "step". Raises OSError."""
        assert self._ranks is not None, "this run has no ranks that move"
        self._ranks.append([event])

    def rewind(self, step: int) -> None:
        """Cut off every row above `step`, as if the run had stopped right after it."""
        for file in self._files:
            file.rewind(step)

    def sync(self) -> None:
        """Wait until all rows are on the disk. Before a checkpoint is saved, so that its record is there too."""
        for file in self._files:
            sync(file.path)

    def close(self) -> None:
        """Sync, then let go of all files."""
        self.sync()
        for file in self._files:
            file.raw.close()


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
        self.raw.truncate(_end_of_last_line(path))

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        for row in rows:
            assert row["step"] >= self._last_step, f"step {row['step']} after step {self._last_step}"
            self._last_step = row["step"]
        end = os.fstat(self.raw.fileno()).st_size
        data = memoryview(b"".join(map(_line, rows)))
        try:
            while data:
                data = data[self.raw.write(data) :]
        except OSError:
            self.raw.truncate(end)
            raise

    def rewind(self, step: int) -> None:
        end = 0
        for row, row_end in _rows_and_ends(self.path):
            if row["step"] > step:
                break
            end = row_end
        self.raw.truncate(end)
        self._last_step = step


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
    """Each row and the offset in bytes at which its line ends."""
    end = 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            end += len(line)
            try:
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError("it holds no object")
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{path}, line {number}: damaged, restore it or remove the line ({error})") from error
            yield row, end


def _end_of_last_line(path: Path) -> int:
    """The offset behind the last line break, searched from the end in blocks: the file may be large."""
    with open(path, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            if (found := file.read(end - start).rfind(b"\n")) >= 0:
                return start + found + 1
            end = start
    return 0
