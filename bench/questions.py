"""The questions that both sides answer, and what an answer is worth: a pure function of its text."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from paring.training.draws import items_of_step
from paring.types import Problem, Score, Split

INSTRUCTION = "\nGive the answer after ####."
NAMES = ("Ada", "Bela", "Carla", "Dmitri", "Eva", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kira")
GOODS = ("baskets", "candles", "paintings", "scarves", "lanterns", "notebooks", "teapots")
PLACES = ("the market", "the school fair", "the old harbour", "a shop near the station")
ENDINGS = (
    "",
    " Nothing is given back.",
    " What is not sold goes back home.",
)


@dataclass(frozen=True)
class Questions:
    """A task: 0.1 for the mark, 1.0 for the number, and up to 0.001 that differs with the text, so that no group is
    without signal, except those in `silent`, whose answers are all worth 0."""

    train: Sequence[Problem]
    held_out: Sequence[Problem]
    silent: frozenset[str]
    name: ClassVar[str] = "questions"

    def problems(self, split: Split) -> Sequence[Problem]:
        return self.train if split == "train" else self.held_out

    def score(self, problem: Problem, text: str) -> Score:
        if problem.id in self.silent:
            return Score({"right": 0.0}, correct=False)
        _, mark, answer = text.rpartition("####")
        right = bool(mark) and answer.split()[:1] == [problem.gold]
        digest = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
        return Score({"mark": 0.1 * bool(mark), "right": float(right), "spread": 0.001 * digest / 2**32}, right)


def steps_of_questions(
    data: str | None, per_step: int, steps: int, *, seed: int, without_signal: float
) -> tuple[Questions, list[Problem]]:
    """The task of a run, and its problems in the order in which the steps draw them."""
    problems = questions(data, per_step * steps + 1)
    train, held_out = problems[:-1], problems[-1:]
    order = [
        problem for step in range(1, steps + 1) for problem in items_of_step(train, per_step, seed=seed, step=step)
    ]
    return Questions(train, held_out, _spread(order, without_signal)), order


def questions(data: str | None, count: int) -> list[Problem]:
    """The first `count` of the file, or as many stand-ins. Raises ValueError where the file has fewer."""
    rows = _rows(Path(data)) if data else [_stand_in(index) for index in range(count)]
    if len(rows) < count:
        raise ValueError(f"--data {data}: {len(rows)} questions, and {count} are needed")
    return [
        Problem(f"question/{index}", ({"role": "user", "content": question + INSTRUCTION},), gold)
        for index, (question, gold) in enumerate(rows[:count])
    ]


def _rows(path: Path) -> list[tuple[str, str]]:
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [(row["question"], row["answer"].rpartition("####")[2].strip().replace(",", "")) for row in rows]


def _stand_in(index: int) -> tuple[str, str]:
    """A question of 45 to 60 words, as GSM8K's, and its number; no two below 10,000 are the same."""
    name, goods, place = NAMES[index % 11], GOODS[index % 7], PLACES[index % 4]
    sold, price, stand = 12 + index % 17, 3 + index % 13, 5 + index % 9
    question = (
        f"{name} sells {sold} {goods} at {place} on Monday and twice as many on Tuesday, when the weather is better. "
        f"Each of them costs {price} dollars, and {name} has to pay {stand} dollars a day for the stand."
        f"{ENDINGS[index % 3]} How many dollars does {name} have left after these two days?"
    )
    return question, str(3 * sold * price - 2 * stand)


def _spread(order: Sequence[Problem], share: float) -> frozenset[str]:
    """A share of the problems, spread evenly over their order."""
    return frozenset(problem.id for place, problem in enumerate(order) if int((place + 1) * share) > int(place * share))
