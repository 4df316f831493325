"""Measure answers to problems that are not trained on: the one record of an evaluation, and its figures."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import stdev

from paring.evaluation.items import Item, Response, items_of, labelled
from paring.maths.estimates import bootstrap_interval, wilson_interval
from paring.maths.repeated import majority_at, pass_at
from paring.rollout.engine import Engine, Sampling
from paring.runtime.tables import Table
from paring.runtime.text import accuracy_words, percent, percent_interval
from paring.settings.declare import Count, CountOrZero, settings
from paring.tasks.base import Task, judged
from paring.tasks.mixture import for_accuracy
from paring.types import Json, Key, Problem, Score, Split

NO_ANSWER = "no answer"
"""The verifier's class of a text that holds no answer."""


@settings
class Evaluate:
    """The `evaluate` section: the test split before and after, greedily; `every` steps the validation split."""

    every: CountOrZero = 0
    """0: only before and after."""
    limit: Count = 500
    """Problems of the test split, at most."""
    samples: CountOrZero = 0
    """Answers to each of them that are sampled as in a rollout, beside the greedy one: pass@k, entropy, KL and length
    before and after; 0: none."""
    validation_limit: Count = 200
    validation_at_end: bool = False
    """Also the validation split after training: what settings may be chosen by, where the test split may not."""


@dataclass(frozen=True)
class Rate:
    """A share, or a chance, with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{percent(self.value)} {percent_interval(self.low, self.high)}"


@dataclass(frozen=True)
class PartRate(Rate):
    """The accuracy on some of the problems, such as those of one subject."""

    problems: int


@dataclass(frozen=True)
class Evaluation:
    """Accuracy over `problems` x `samples` answers, and what else was measured. Printed, it is the accuracy.

    interval           of 95 %: Wilson's for one answer a problem, else a bootstrap over problems
    pass_at, maj_at    by k, where there are several answers a problem
    spread             the standard deviation of the accuracies of single passes over the problems, the first answer to
                       each, the second and so on; None with one answer a problem
    truncated          share of answers that were cut off; `no_answer`: of those that hold none
    verdicts           answers by the class of their verdict; `traits`: shares of answers
    tokens             of all answers; `length`: their mean, then that of right and of wrong ones, None without any
    seconds            to sample and to judge all answers, on the machine that did
    by                 label -> value -> the accuracy there
    """

    task: str
    split: Split
    problems: int
    samples: int
    temperature: float
    correct: int
    accuracy: float
    interval: tuple[float, float]
    pass_at: Mapping[int, Rate]
    maj_at: Mapping[int, Rate]
    truncated: float
    no_answer: float
    verdicts: Mapping[str, int]
    traits: Mapping[str, float]
    tokens: int
    length: float
    length_correct: float | None
    length_wrong: float | None
    seconds: float
    by: Mapping[str, Mapping[str, PartRate]]
    spread: float | None = None

    @property
    def accuracy_name(self) -> str:
        """`accuracy`, or `avg@k` where it is the mean over k answers to each problem."""
        return "accuracy" if self.samples == 1 else f"avg@{self.samples}"

    def as_plain(self) -> dict[str, Json]:
        plain: dict[str, Json] = asdict(self)
        return plain | {"interval": list(self.interval)}

    def __str__(self) -> str:
        """Accuracy with its interval, in per cent."""
        return accuracy_words(self.accuracy, *self.interval)

    def _repr_html_(self) -> str:
        """For notebooks: the figures as a table; every text is escaped."""
        rows = [["problems", str(self.problems)], [self.accuracy_name, str(self)], ["length", f"{self.length:.1f}"]]
        several = {"pass": self.pass_at, "maj": self.maj_at}
        rows += [[f"{name}@{k}", str(rate)] for name, rates in several.items() for k, rate in rates.items()]
        rows += [[f"verdict: {why}", str(count)] for why, count in self.verdicts.items()]
        rows += [[f"trait: {name}", percent(share)] for name, share in self.traits.items()]
        return Table((self.task, self.split), rows, title=self.task).as_html()


Divide = Callable[[Sequence[Problem], Callable[[Sequence[Problem]], list[Item]]], list[Item]]
"""From problems, and what answers a share of them, to the items of all."""


def measure(
    engine: Engine,
    task: Task,
    split: Split,
    *,
    limit: int,
    sampling: Sampling,
    samples: int = 1,
    key: Key = Key(seed=0, step=0),  # noqa: B008 - frozen
    left_out: Collection[str] = (),
    divide: Divide | None = None,
) -> tuple[Evaluation, list[Item]]:
    """Answer the first `limit` problems of a split, of which there is at least one, and judge the answers. `left_out`:
    ids of problems that are not put. `divide`: has each of several processes answer a share."""
    start, task = time.perf_counter(), for_accuracy(task)
    problems = [problem for problem in task.problems(split) if problem.id not in left_out][:limit]

    def answered(share: Sequence[Problem]) -> list[Item]:
        groups = engine.sample(share, samples, sampling, key)
        return labelled(task, items_of(groups, judged(task, groups)))

    items = divide(problems, answered) if divide else answered(problems)
    seconds = time.perf_counter() - start
    return evaluation_of(items, task.name, split, temperature=sampling.temperature, seconds=seconds), items


def evaluation_of(items: Sequence[Item], task: str, split: Split, *, temperature: float, seconds: float) -> Evaluation:
    """The record of items, of which there is at least one, each with as many answers."""
    responses = [response for item in items for response in item.answers]
    samples = len(items[0].answers)
    ks = ks_of(samples) if samples > 1 else []
    accuracy, verdicts = _accuracy(items), Counter(response.why for response in responses)
    tokens = sum(response.tokens for response in responses)
    return Evaluation(
        task=task,
        split=split,
        problems=len(items),
        samples=samples,
        temperature=temperature,
        correct=sum(item.right for item in items),
        accuracy=accuracy.value,
        interval=(accuracy.low, accuracy.high),
        pass_at={k: _mean(items, lambda item, k=k: pass_at(k, item.right, samples)) for k in ks},
        maj_at={k: _mean(items, lambda item, k=k: _majority(item, k)) for k in ks},
        truncated=sum(not response.ended for response in responses) / len(responses),
        no_answer=verdicts[NO_ANSWER] / len(responses),
        verdicts=dict(sorted(verdicts.items())),
        traits=trait_shares(responses),
        tokens=tokens,
        length=tokens / len(responses),
        length_correct=mean_length([response for response in responses if response.correct]),
        length_wrong=mean_length([response for response in responses if not response.correct]),
        seconds=seconds,
        by={label: _by_value(items, label) for label in dict.fromkeys(name for item in items for name in item.labels)},
        spread=_spread(items) if samples > 1 else None,
    )


def ks_of(samples: int) -> list[int]:
    """The k of pass@k and maj@k: powers of two up to the number of answers, and that number."""
    return sorted({2**power for power in range(samples.bit_length())} | {samples})


def mean_length(responses: Sequence[Response]) -> float | None:
    """In tokens; None where there are none."""
    return sum(response.tokens for response in responses) / len(responses) if responses else None


def trait_shares(answers: Sequence[Score | Response]) -> dict[str, float]:
    """Share of the answers that show each trait; an answer without a trait's name does not show it."""
    names = dict.fromkeys(name for answer in answers for name in answer.traits)
    return {name: sum(answer.traits.get(name, False) for answer in answers) / len(answers) for name in names}


def _accuracy(items: Sequence[Item]) -> Rate:
    """The share of right answers. Several answers to one problem are not independent, so problems are resampled."""
    right, answers = sum(item.right for item in items), sum(len(item.answers) for item in items)
    if answers == len(items):
        return Rate(right / answers, *wilson_interval(right, answers))
    return Rate(right / answers, *bootstrap_interval([item.share for item in items], seed=0))


def _spread(items: Sequence[Item]) -> float:
    passes = zip(*([response.correct for response in item.answers] for item in items), strict=True)
    return stdev(sum(one) / len(one) for one in passes)


def _mean(items: Sequence[Item], value_of: Callable[[Item], float]) -> Rate:
    values = [value_of(item) for item in items]
    return Rate(sum(values) / len(values), *bootstrap_interval(values, seed=0))


def _majority(item: Item, k: int) -> float:
    """The chance of maj@k. All right answers are one answer; wrong ones are the same where their texts are, spaces
    apart. For a task that reads no answer the whole text votes."""
    right, votes = ("right", ""), []
    for response in item.answers:
        text = response.text if response.answer is None else response.answer
        wrong = None if response.why == NO_ANSWER else ("wrong", "".join(text.split()))
        votes.append(right if response.correct else wrong)
    return majority_at(k, votes, right)


def _by_value(items: Sequence[Item], label: str) -> dict[str, PartRate]:
    parts: dict[str, list[Item]] = {}
    for item in items:
        parts.setdefault(item.labels.get(label, ""), []).append(item)
    return {value: PartRate(**asdict(_accuracy(part)), problems=len(part)) for value, part in sorted(parts.items())}
