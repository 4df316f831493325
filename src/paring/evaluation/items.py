"""The answers on record: one line a problem, appended by whole chunks, so that a killed evaluation goes on."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paring.types import Group, Score

Item = dict[str, Any]
"""{"problem", "gold", "row", "labels", "flaw", "answers": [{"correct", "why", "answer", "tokens", "ended", ...}]}"""


def item(group: Group, scores: Sequence[Score], facts: dict[str, Any]) -> Item:
    """What is written of one problem."""
    answers = [
        {
            "correct": score.correct,
            "why": score.why or ("right" if score.correct else "wrong"),
            "answer": score.answer,
            "reward": score.reward,
            "traits": score.traits,
            "tokens": len(completion.tokens),
            "ended": completion.ended,
            "text": completion.text,
        }
        for completion, score in zip(group.completions, scores, strict=True)
    ]
    return {"problem": group.problem.id, "gold": group.problem.gold} | facts | {"answers": answers}


@dataclass(frozen=True)
class Items:
    """One file of items. A chunk is written at once and synced; what a kill left of one is cut off on reading."""

    path: Path
    chunk: int

    def read(self, total: int) -> list[Item]:
        """The items of whole chunks, of `total` in the end; the file is cut to them. Raises ValueError if damaged."""
        if not self.path.is_file():
            return []
        lines = self.path.read_bytes().split(b"\n")[:-1]
        whole = len(lines) if len(lines) >= total else len(lines) - len(lines) % self.chunk
        kept = b"".join(line + b"\n" for line in lines[:whole])
        os.truncate(self.path, len(kept))
        return [_parsed(line, f"{self.path}:{number}") for number, line in enumerate(lines[:whole], start=1)]

    def append(self, items: Sequence[Item]) -> None:
        # ASCII only: a lone surrogate can be written, and `cat` sends no control character of a model to a terminal.
        text = "".join(json.dumps(one, allow_nan=False) + "\n" for one in items)
        with self.path.open("ab") as file:
            file.write(text.encode("ascii"))
            file.flush()
            os.fsync(file.fileno())

    def chunks(self, done: int, total: int) -> Iterator[range]:
        """The places of the problems still to be answered, chunk by chunk."""
        for start in range(done, total, self.chunk):
            yield range(start, min(start + self.chunk, total))


def _parsed(line: bytes, place: str) -> Item:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not (isinstance(found, dict) and isinstance(found.get("answers"), list)):
        raise ValueError(f"{place}: damaged; remove the file to answer its problems again")
    return found
