"""One subject answers all exams, chunk by chunk, and goes on where it was stopped."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from paring.evaluation.asked import Asked
from paring.evaluation.exams import Exam
from paring.evaluation.items import Item, Items, item
from paring.rollout.engine import Engine, Sampling
from paring.runtime.interruption import Interruption
from paring.runtime.screen import Screen
from paring.tasks.base import judged
from paring.types import Key


@dataclass(frozen=True)
class Answers:
    """Of each task the items, and the seconds it took to have and to judge the answers."""

    items: dict[str, list[Item]]
    seconds: dict[str, float]


def answer(
    engine: Engine,
    *,
    exams: Sequence[Exam],
    samplings: Mapping[str, Sampling],
    asked: Asked,
    folder: Path,
    who: str,
    screen: Screen,
    interruption: Interruption,
) -> Answers | None:
    """Answer what is not yet on record in `folder`; None where that was interrupted, with whole chunks on record.

    What is on record never depends on when it was interrupted: chunks are cut at the same places always."""
    folder.mkdir(parents=True, exist_ok=True)
    answers = Answers({}, {})
    for exam in exams:
        record = Items(folder / f"{exam.name}.jsonl", asked.problems_at_once)
        clock = Clock(folder / f"{exam.name}.seconds.jsonl")
        items = record.read(len(exam.problems))
        chunks = list(record.chunks(len(items), len(exam.problems)))
        finished = -(-len(items) // record.chunk)
        if chunks:
            screen.start(f"{who}: {exam.name}", finished + len(chunks), finished)
        try:
            for number, places in enumerate(chunks, start=finished + 1):
                start = time.perf_counter()
                new = _answered(engine, exam, places, samplings[exam.name], asked)
                record.append(new)
                clock.note(places, seconds := time.perf_counter() - start)
                items += new
                screen.step({"step": number, "seconds": seconds, **_so_far(items)})
                if interruption.requested:
                    return None
        finally:
            screen.finish()
        answers.items[exam.name], answers.seconds[exam.name] = items, clock.total()
    return answers


def _answered(engine: Engine, exam: Exam, places: range, sampling: Sampling, asked: Asked) -> list[Item]:
    problems = exam.problems[places.start : places.stop]
    groups = engine.sample(problems, asked.samples, sampling, Key(asked.seed, step=0))
    scored = zip(places, groups, judged(exam.task, groups), strict=True)
    return [item(group, scores, exam.facts(place)) for place, group, scores in scored]


def _so_far(items: Sequence[Item]) -> dict[str, float]:
    answers = [answer for item in items for answer in item["answers"]]
    return {
        "accuracy": sum(answer["correct"] for answer in answers) / len(answers),
        "length": sum(answer["tokens"] for answer in answers) / len(answers),
        "truncated": sum(not answer["ended"] for answer in answers) / len(answers),
    }


@dataclass(frozen=True)
class Clock:
    """How long each chunk took; beside the items, which are the same bytes every time."""

    path: Path

    def note(self, places: range, seconds: float) -> None:
        with self.path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps({"first": places.start, "problems": len(places), "seconds": seconds}) + "\n")

    def total(self) -> float:
        """Of a chunk that was answered twice, since a kill came between items and clock, the last time counts."""
        if not self.path.is_file():
            return 0.0
        lines = [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
        return sum({line["first"]: line["seconds"] for line in lines}.values())
