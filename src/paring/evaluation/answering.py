"""One subject answers all exams, chunk by chunk, and goes on where it was stopped."""

import json
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from paring.evaluation.exam import Exam
from paring.evaluation.items import Item, ItemFile
from paring.evaluation.measuring import Evaluation, evaluation_of, mean_length
from paring.evaluation.request import Request
from paring.rollout.engine import Engine
from paring.runtime.interruption import Interrupted, Interruption, waiting
from paring.runtime.screen import Screen


@dataclass(frozen=True)
class Answered:
    """The items of a task, and their record."""

    items: list[Item]
    evaluation: Evaluation


def answer(
    engine: Engine,
    *,
    exams: Sequence[Exam],
    request: Request,
    folder: Path,
    title: str,
    screen: Screen,
    interruption: Interruption,
) -> list[Answered] | None:
    """Answer what is not yet on record in `folder`, task by task; None where that was interrupted, with whole chunks
    on record.

    What is on record never depends on when it was interrupted: chunks are cut at the same places always."""
    folder.mkdir(parents=True, exist_ok=True)
    answers = []
    for exam in exams:
        stem = re.sub(r"[^\w-]", "_", exam.name)
        record = ItemFile(folder / f"{stem}.jsonl", request.problems_at_once)
        clock = Clock(folder / f"{stem}.seconds.jsonl")
        items = record.read(len(exam.problems))
        chunks = list(record.chunks(len(items), len(exam.problems)))
        finished = -(-len(items) // record.chunk)
        if chunks:
            screen.start(f"{title}: {exam.name}", finished + len(chunks), finished)
        try:
            for number, places in enumerate(chunks, start=finished + 1):
                start = time.perf_counter()
                with waiting():
                    new = exam.answered(engine, places, request)
                record.append(new)
                clock.note(places, seconds := time.perf_counter() - start)
                items += new
                screen.step({"step": number, "seconds": seconds, **_so_far(items)})
                if interruption.requested:
                    return None
        except Interrupted:
            return None
        finally:
            screen.finish()
        how = {"temperature": request.temperature, "seconds": clock.total()}
        answers.append(Answered(items, evaluation_of(items, exam.name, "test", **how)))
    return answers


def _so_far(items: Sequence[Item]) -> dict[str, float]:
    responses = [response for item in items for response in item.answers]
    return {
        "accuracy": sum(response.correct for response in responses) / len(responses),
        "length": mean_length(responses) or 0.0,
        "truncated": sum(not response.ended for response in responses) / len(responses),
    }


@dataclass(frozen=True)
class Clock:
    """How long each chunk took; beside the items, which are the same bytes every time."""

    path: Path

    def note(self, places: range, seconds: float) -> None:
        with self.path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps({"first": places.start, "problems": len(places), "seconds": seconds}) + "\n")

    def total(self) -> float:
        """For a chunk that was answered twice, since a kill came between items and clock, the last time counts."""
        if not self.path.is_file():
            return 0.0
        seconds: dict[int, float] = {}
        for line in self.path.read_bytes().splitlines():
            # A line torn by a kill is no time, and no reason not to go on.
            with suppress(ValueError, RecursionError):
                match json.loads(line):
                    case {"first": int(first), "seconds": float(spent)}:
                        seconds[first] = spent
        return sum(seconds.values())
