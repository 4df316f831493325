"""One subject answers all exams, chunk by chunk, and goes on where it was stopped."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from paring.evaluation.exam import Exam
from paring.evaluation.items import Item
from paring.evaluation.measuring import Evaluation, evaluation_of, mean_length
from paring.evaluation.record import Clock, Round, TaskRecord
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
        record = TaskRecord(folder, exam.name, len(exam.problems), request.rows)
        while (missing := record.missing(request.samples)) is not None:
            try:
                _answer_round(
                    engine, exam, request, missing, record.clock, f"{title}: {exam.name}", screen, interruption
                )
            except Interrupted:
                return None
            finally:
                screen.finish()
        items = record.items()
        how = {"temperature": request.temperature, "seconds": record.clock.total()}
        answers.append(Answered(items, evaluation_of(items, exam.name, "test", **how)))
    return answers


def _answer_round(
    engine: Engine,
    exam: Exam,
    request: Request,
    missing: Round,
    clock: Clock,
    title: str,
    screen: Screen,
    interruption: Interruption,
) -> None:
    """Raises Interrupted, with whole chunks on record."""
    items, chunks = missing.items, list(missing.chunks())
    finished = -(-len(items) // missing.file.chunk)
    begun, before = time.perf_counter(), len(items)
    screen.start(title, finished + len(chunks), finished)
    for number, places in enumerate(chunks, start=finished + 1):
        start = time.perf_counter()
        with waiting():
            new = exam.answered(engine, places, request, missing.members)
        missing.file.append(new)
        clock.note(places, missing.members, seconds := time.perf_counter() - start)
        items += new
        screen.step({"step": number, "seconds": seconds, **_so_far(items)})
        rate = (len(items) - before) / (time.perf_counter() - begun)
        screen.phase(f"{len(items)} of {missing.problems} problems, {rate:.2g} a second;")
        if interruption.requested:
            raise Interrupted


def _so_far(items: Sequence[Item]) -> dict[str, float]:
    responses = [response for item in items for response in item.answers]
    return {
        "accuracy": sum(response.correct for response in responses) / len(responses),
        "length": mean_length(responses) or 0.0,
        "truncated": sum(not response.ended for response in responses) / len(responses),
    }
