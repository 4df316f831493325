"""Measure a policy on held-out problems."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from paring.maths.estimates import bootstrap_interval, wilson_interval
from paring.rollout.engine import Engine, Sampling
from paring.settings.declare import Count, CountOrZero, settings
from paring.tasks.base import Task, judged
from paring.types import Completion, Group, Key, Score, Split


@settings
class Evaluate:
    """The `evaluate` section: the test split before and after, greedily; `every` steps the validation split."""

    every: CountOrZero = 0
    """0: only before and after."""
    limit: Count = 500
    """Problems of the test split, at most."""
    validation_limit: Count = 200
    validation_at_end: bool = False
    """Also the validation split after training: what settings may be chosen by, where the test split may not."""


@dataclass(frozen=True)
class Evaluation:
    """Accuracy with its 95 % interval over `problems` x `samples` answers, and what else was seen."""

    task: str
    split: Split
    problems: int
    samples: int
    temperature: float
    correct: int
    accuracy: float
    interval: tuple[float, float]
    traits: dict[str, float]
    length: float
    length_correct: float | None
    length_wrong: float | None
    """Mean tokens of the right and of the wrong answers; None where there are none."""
    truncated: float
    seconds: float

    def as_plain(self) -> dict[str, Any]:
        return asdict(self) | {"interval": list(self.interval)}

    def lines(self) -> list[str]:
        """For people."""
        how = "greedy" if self.temperature == 0 else f"temperature {self.temperature:g}"
        answers = f"{self.problems} problems" + (f" x {self.samples} answers" if self.samples > 1 else "")
        return [
            f"{self.task}: accuracy {self} on {answers} ({self.split} split, {how})",
            *(f"answers with {name.replace('_', ' ')}: {100 * share:.1f} %" for name, share in self.traits.items()),
            f"mean length {self.length:.1f} tokens{self._by_correctness()}, cut off {100 * self.truncated:.1f} %, "
            f"{self.seconds:.1f} s",
        ]

    def _by_correctness(self) -> str:
        lengths = {"right": self.length_correct, "wrong": self.length_wrong}
        told = [f"{which} {length:.1f}" for which, length in lengths.items() if length is not None]
        return f" ({', '.join(told)})"

    def __str__(self) -> str:
        """Accuracy with its interval, in per cent."""
        low, high = self.interval
        return f"{100 * self.accuracy:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


@dataclass(frozen=True)
class Answered:
    """The answers to the problems, and what the task says of them."""

    groups: list[Group]
    scores: list[list[Score]]

    def items(self) -> list[dict[str, Any]]:
        """One row an answer, by which two runs can be compared problem by problem."""
        return [
            {"problem": group.problem.id, "correct": score.correct, "tokens": len(completion.tokens)}
            for group, row in zip(self.groups, self.scores, strict=True)
            for completion, score in zip(group.completions, row, strict=True)
        ]


def measure(
    engine: Engine,
    task: Task,
    split: Split,
    *,
    limit: int,
    sampling: Sampling,
    samples: int = 1,
    key: Key = Key(seed=0, step=0),  # noqa: B008 - frozen
) -> tuple[Evaluation, Answered]:
    """Answer the first `limit` problems of a split.

    The interval is Wilson's for one answer a problem. Several answers to one problem are not independent: then it is
    a bootstrap over problems."""
    start = time.perf_counter()
    problems = task.problems(split)[:limit]
    groups = engine.sample(problems, samples, sampling, key)
    answered = Answered(groups, judged(task, groups))
    scores = [score for group in answered.scores for score in group]
    completions = [completion for group in answered.groups for completion in group.completions]
    correct = sum(score.correct for score in scores)
    interval = wilson_interval(correct, len(scores))
    if samples > 1:
        interval = bootstrap_interval([sum(s.correct for s in group) / samples for group in answered.scores], seed=0)
    evaluation = Evaluation(
        task=task.name,
        split=split,
        problems=len(problems),
        samples=samples,
        temperature=sampling.temperature,
        correct=correct,
        accuracy=correct / len(scores),
        interval=interval,
        traits=trait_shares(scores),
        length=mean_length(completions),
        length_correct=mean_length(answers_that_are(True, completions, scores)),
        length_wrong=mean_length(answers_that_are(False, completions, scores)),
        truncated=sum(not completion.ended for completion in completions) / len(completions),
        seconds=time.perf_counter() - start,
    )
    return evaluation, answered


def mean_length(completions: Sequence[Completion]) -> float | None:
    """In tokens; None where there are none."""
    return sum(len(completion.tokens) for completion in completions) / len(completions) if completions else None


def answers_that_are(correct: bool, completions: Sequence[Completion], scores: Sequence[Score]) -> list[Completion]:
    """The right or the wrong ones of answers."""
    return [completion for completion, score in zip(completions, scores, strict=True) if score.correct == correct]


def trait_shares(scores: Sequence[Score]) -> dict[str, float]:
    """Share of the answers that show each trait; an answer without a trait's name does not show it."""
    names = dict.fromkeys(name for score in scores for name in score.traits)
    return {name: sum(score.traits.get(name, False) for score in scores) / len(scores) for name in names}
