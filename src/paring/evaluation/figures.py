"""From the items of a task to its figures: accuracy, pass@k and maj@k with intervals, and what went wrong."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from paring.evaluation.items import Item
from paring.maths.estimates import bootstrap_interval, wilson_interval
from paring.maths.repeated import majority_at, pass_at

NO_ANSWER = "no answer"
"""The verifier's class of a text that holds no answer."""


@dataclass(frozen=True)
class Share:
    """A share, or a chance, with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


@dataclass(frozen=True)
class Summary:
    """What the items of one task say.

    accuracy, low, high   Wilson's interval for one answer a problem, else a bootstrap over problems
    pass_at, maj_at       by k, where there are several answers a problem
    verdicts              answers by the verifier's class
    traits                shares of answers
    tokens                of all answers; means: of all, of the right and of the wrong ones, None where there are none
    seconds               of all answers, on the machine that answered
    by                    label -> value -> problems and accuracy
    """

    problems: int
    samples: int
    correct: int
    accuracy: Share
    pass_at: dict[int, Share]
    maj_at: dict[int, Share]
    truncated: float
    no_answer: float
    verdicts: dict[str, int]
    traits: dict[str, float]
    tokens: int
    length: float
    length_correct: float | None
    length_wrong: float | None
    seconds: float
    by: dict[str, dict[str, dict[str, Any]]]

    def as_plain(self) -> dict[str, Any]:
        plain = asdict(self)
        interval = [plain["accuracy"]["low"], plain["accuracy"]["high"]]
        return plain | {"accuracy": self.accuracy.value, "interval": interval}


def summary(items: Sequence[Item], seconds: float) -> Summary:
    """Figures of a task's items, of which there is at least one, each with the same number of answers."""
    answers = [answer for item in items for answer in item["answers"]]
    samples = len(items[0]["answers"])
    several = samples > 1
    tokens = sum(answer["tokens"] for answer in answers)
    verdicts = Counter(answer["why"] for answer in answers)
    return Summary(
        problems=len(items),
        samples=samples,
        correct=sum(answer["correct"] for answer in answers),
        accuracy=accuracy(items),
        pass_at={k: _mean(items, lambda item, k=k: _passed(item, k)) for k in numbers_of(samples)} if several else {},
        maj_at={k: _mean(items, lambda item, k=k: _voted(item, k)) for k in numbers_of(samples)} if several else {},
        truncated=sum(not answer["ended"] for answer in answers) / len(answers),
        no_answer=verdicts[NO_ANSWER] / len(answers),
        verdicts=dict(sorted(verdicts.items())),
        traits=_traits(answers),
        tokens=tokens,
        length=tokens / len(answers),
        length_correct=_length(answers, correct=True),
        length_wrong=_length(answers, correct=False),
        seconds=seconds,
        by=_by_label(items),
    )


def accuracy(items: Sequence[Item]) -> Share:
    """The share of right answers; several answers to one problem are not independent, so problems are resampled."""
    correct = [sum(answer["correct"] for answer in item["answers"]) for item in items]
    samples = len(items[0]["answers"])
    share = sum(correct) / (samples * len(items))
    if samples == 1:
        return Share(share, *wilson_interval(sum(correct), len(items)))
    return Share(share, *bootstrap_interval([number / samples for number in correct], seed=0))


def numbers_of(samples: int) -> list[int]:
    """The k of pass@k and maj@k: powers of two up to the number of answers, and that number."""
    return sorted({2**power for power in range(samples.bit_length()) if 2**power <= samples} | {samples})


def _passed(item: Item, k: int) -> float:
    return pass_at(k, sum(answer["correct"] for answer in item["answers"]), len(item["answers"]))


def _voted(item: Item, k: int) -> float:
    """All right answers are one answer; wrong ones are the same where their texts are, spaces apart. Of a task that
    reads no answer the whole text votes."""
    votes = [("right", "") if answer["correct"] else _wrong_vote(answer) for answer in item["answers"]]
    return majority_at(k, votes, ("right", ""))


def _wrong_vote(answer: dict[str, Any]) -> tuple[str, str] | None:
    if answer["why"] == NO_ANSWER:
        return None
    said = answer["text"] if answer["answer"] is None else answer["answer"]
    return "wrong", "".join(said.split())


def _mean(items: Sequence[Item], of: Callable[[Item], float]) -> Share:
    values = [of(item) for item in items]
    return Share(sum(values) / len(values), *bootstrap_interval(values, seed=0))


def _length(answers: Sequence[dict[str, Any]], *, correct: bool) -> float | None:
    lengths = [answer["tokens"] for answer in answers if answer["correct"] == correct]
    return sum(lengths) / len(lengths) if lengths else None


def _traits(answers: Sequence[dict[str, Any]]) -> dict[str, float]:
    names = dict.fromkeys(name for answer in answers for name in answer["traits"])
    return {name: sum(answer["traits"].get(name, False) for answer in answers) / len(answers) for name in names}


def _by_label(items: Sequence[Item]) -> dict[str, dict[str, dict[str, Any]]]:
    labels = dict.fromkeys(label for item in items for label in item.get("labels", {}))
    return {label: _by_value(items, label) for label in labels}


def _by_value(items: Sequence[Item], label: str) -> dict[str, dict[str, Any]]:
    values = sorted({item.get("labels", {}).get(label, "") for item in items})
    found = {value: [item for item in items if item.get("labels", {}).get(label, "") == value] for value in values}
    return {value: {"problems": len(part)} | asdict(accuracy(part)) for value, part in found.items()}
