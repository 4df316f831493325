"""Generators of reasoning-gym (arXiv 2505.24760) as a task: by name, with weights, and their own verifiers."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import field
from functools import cache
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from paring.settings.declare import Count, CountOrZero, settings
from paring.tasks.judge import JudgedTask
from paring.tasks.splits import digest, three_splits
from paring.tasks.styles import STYLES, prompt
from paring.types import Problem, Score, Split
from paring.verifier.extraction import final_answer
from paring.verifier.workers import KILLED, TIMEOUT, Workers

LONGEST_ANSWER = 20_000
"""Characters of an answer that a verifier sees."""
WALL_FACTOR = 10
"""A verifier may take this many times its processor time by the clock."""


@settings
class Generator:
    """One of reasoning-gym's data sets.

    name         as `reasoning_gym.factory.DATASETS` has it, such as "basic_arithmetic"
    weight       its share of the problems, relative to the others'
    difficulty   the level of its curriculum in every attribute; the default is its own configuration
    options      settings of its configuration, such as {min_terms = 2}
    """

    name: str
    weight: Annotated[float, Field(gt=0)] = 1.0
    difficulty: CountOrZero | None = None
    options: dict[str, JsonValue] = field(default_factory=dict)


@settings
class ReasoningGym(JudgedTask):
    """Problems that reasoning-gym draws, judged by the verifier of their generator. Needs the `gym` extra.

    generators   which, with their weights
    draws        how many problems are drawn together; the same question is kept once
    seed         another seed is another draw
    style        how the question is put, and where its answer must stand (tasks/styles.py)
    seconds      processor time of a verifier for one answer; one that needs more is worth nothing, `timeout`

    An eighth of the problems each is `test` and `validation`, the rest `train` (tasks/splits.py).
    """

    name: Literal["reasoning-gym"] = "reasoning-gym"
    generators: Annotated[tuple[Generator, ...], Field(min_length=1)]
    draws: Count = 2000
    seed: CountOrZero = 0
    style: Literal["boxed", "think-answer"] = "think-answer"
    seconds: Annotated[float, Field(gt=0, le=600)] = 5.0

    def problems(self, split: Split) -> Sequence[Problem]:
        """The problems of a split. Raises ModuleNotFoundError without the extra, ValueError for a generator that is
        unknown or does not take its settings."""
        drawn = {problem.id: problem for generator in self.generators for problem in self._drawn(generator)}
        return three_splits(drawn.values(), lambda problem: problem.id, None, "task.draws")[split]

    def score(self, problem: Problem, text: str) -> Score:
        """As `score_all` of one."""
        return self.score_all([(problem, text)])[0]

    def score_all(self, pairs: Sequence[tuple[Problem, str]]) -> list[Score]:
        """What the generator's verifier gives, from 0 to 1; right if it is 1. The answer is what the last box or pair
        of answer tags holds. It is judged in a process of its own, which is killed where it takes too long."""
        answers = [final_answer(text) for _, text in pairs]
        asked = [place for place, answer in enumerate(answers) if answer and len(answer) <= LONGEST_ANSWER]
        lines = [json.dumps(json.loads(pairs[place][0].gold) | {"given": answers[place]}) for place in asked]
        replies = dict(zip(asked, _workers(self.seconds).ask(lines), strict=True))
        return [_score(replies.get(place), answer) for place, answer in enumerate(answers)]

    def reference(self, problem: Problem) -> str:
        return str(json.loads(problem.gold)["answer"])

    def _drawn(self, generator: Generator) -> Iterator[Problem]:
        from paring.tasks.gym_worker import data_set

        share = generator.weight / sum(other.weight for other in self.generators)
        size, options = max(1, round(share * self.draws)), json.dumps(generator.options, sort_keys=True)
        source = {"generator": generator.name, "options": options, "difficulty": generator.difficulty}
        written = json.dumps({**source, "size": size, "seed": self.seed})
        for number, entry in enumerate(data_set(**json.loads(written))):
            question = str(entry["question"])
            gold = json.dumps({"answer": str(entry["answer"]), "number": number, "source": written}, ensure_ascii=False)
            mark = digest(f"{generator.name}\n{question}")
            yield Problem(f"reasoning-gym/{mark}", prompt(STYLES[self.style], question), gold)


def _score(reply: str | None, answer: str | None) -> Score:
    """The score of a verifier's reply, which is a number; of its end, or of no answer, nothing."""
    if reply in (None, TIMEOUT, KILLED):
        return Score({"score": 0.0}, False, why=reply or "no answer", answer=answer)
    assert reply is not None
    value = float(reply)
    return Score({"score": value}, value >= 1, why="right" if value >= 1 else "wrong", answer=answer)


@cache
def _workers(seconds: float) -> Workers:
    return Workers("paring.tasks.gym_worker", [str(seconds)], count=1, seconds=WALL_FACTOR * seconds)
