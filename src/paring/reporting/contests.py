"""The results of the runs: for each measure and setting, the mean of every arm with its interval."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from paring.maths.estimates import Difference, t_interval, wilson_interval
from paring.maths.seeds import accuracy_interval
from paring.reporting.differing import differing, written
from paring.reporting.gathering import Arm, Gathered
from paring.reporting.runs import RunRecord, finite, mapping, mean, whole
from paring.runtime.text import count_words, percent, percent_interval, points, points_interval
from paring.settings.recipes import flattened
from paring.types import JsonObject

Interval = tuple[float, float]


@dataclass(frozen=True)
class Measure:
    """One kind of measurement. Accuracies are shares and written in per cent; losses are in nats a token."""

    name: str
    accuracy: bool

    @property
    def key(self) -> str:
        return "accuracy" if self.accuracy else "loss"

    def value(self, value: float) -> str:
        return f"{percent(value)} %" if self.accuracy else f"{value:.4f}"

    def interval(self, interval: Interval | None) -> str:
        """Without the unit, which stands with the value before it; empty where there is none."""
        if interval is None:
            return ""
        return percent_interval(*interval) if self.accuracy else "[{:.4f}, {:.4f}]".format(*interval)

    def with_interval(self, value: float, interval: Interval | None) -> str:
        return f"{self.value(value)} {self.interval(interval)}".rstrip()

    def change(self, change: float, *, unit: bool = True) -> str:
        words, name = (points(change), " points") if self.accuracy else (f"{change + 0.0:+.4f}", " nats a token")
        return words + name if unit else words

    def difference(self, difference: Difference) -> str:
        """`+1.2 points [-0.5, +2.9]`"""
        return f"{self.change(difference.mean)} {self.changes(difference.interval)}"

    def changes(self, interval: Interval) -> str:
        low, high = interval
        return points_interval(low, high) if self.accuracy else f"[{low + 0.0:+.4f}, {high + 0.0:+.4f}]"

    def better(self, change: float) -> bool:
        """Whether a change of this sign is for the better: accuracy up, loss down."""
        return (change > 0) == self.accuracy


@dataclass(frozen=True)
class Standing:
    """An arm on one measure: its finished runs by seed."""

    arm: Arm
    measure: Measure
    runs: Mapping[int, RunRecord]

    @property
    def label(self) -> str:
        return self.arm.label

    @property
    def words(self) -> str:
        """`rgra 75.0 % [59.8, 85.8] (1 run)`"""
        value = self.measure.with_interval(self.mean, self.interval)
        return f"{self.label} {value} ({count_words(len(self.runs), 'run')})"

    @property
    def values(self) -> dict[int, float]:
        """Seed -> its value after training."""
        measured = {seed: self.value(run, "after") for seed, run in self.runs.items()}
        return {seed: value for seed, value in measured.items() if value is not None}

    @property
    def mean(self) -> float:
        return sum(self.values.values()) / len(self.runs)

    @property
    def interval(self) -> Interval | None:
        """95 %: Student's over seeds, of an accuracy not narrower than its test set allows (maths.seeds); that of one
        run over its problems. None where a single loss shows no spread."""
        if len(self.runs) > 1:
            values = list(self.values.values())
            return accuracy_interval(values, self.problems) if self.measure.accuracy else t_interval(values)
        return own_interval(next(iter(self.runs.values())).evaluation("after"))

    @property
    def problems(self) -> int | None:
        """The size of the test set; None where it is not known, as for losses."""
        return whole(next(iter(self.runs.values())).evaluation("after").get("problems"))

    def repeats(self, other: "Standing") -> bool:
        """Whether both made the same runs, seed by seed: the same answers all through training, and after it."""
        return self.runs.keys() == other.runs.keys() and all(
            run.is_copy_of(other.runs[seed]) for seed, run in self.runs.items()
        )

    @property
    def before(self) -> float | None:
        return self.mean_of("before", self.measure.key)

    @property
    def sampled(self) -> float | None:
        """Answers that a run sampled in training, the mean over runs; None where one sampled none, or lacks numbers."""
        counts = [run.sampled for run in self.runs.values()]
        return None if None in counts else mean(counts)

    def value(self, run: RunRecord, when: str) -> float | None:
        return finite(run.evaluation(when).get(self.measure.key))

    def mean_of(self, when: str, name: str) -> float | None:
        """The mean of a number of the evaluations, over the runs that have it."""
        return mean(finite(run.evaluation(when).get(name)) for run in self.runs.values())


@dataclass(frozen=True)
class Contest:
    """Arms that may be compared: they have the same measure at the same setting."""

    measure: Measure
    setting: str
    standings: tuple[Standing, ...]

    @property
    def title(self) -> str:
        return f"{self.measure.name}; {self.setting}" if self.setting else self.measure.name

    @property
    def distinct(self) -> tuple[Standing, ...]:
        """The standings without those that repeat an earlier one: identical arms are one arm of a family of tests."""
        kept: list[Standing] = []
        for standing in self.standings:
            if not any(standing.repeats(other) for other in kept):
                kept.append(standing)
        return tuple(kept)

    def copies(self, standing: Standing) -> tuple[Standing, ...]:
        """The other standings that repeat this one."""
        return tuple(other for other in self.standings if other is not standing and other.repeats(standing))


def contests_of(gathered: Gathered) -> list[Contest]:
    """Every measure and setting that a finished run was measured on."""
    rows: dict[tuple[str, str], list[tuple[Arm, dict[int, RunRecord]]]] = {}
    firsts: dict[str, RunRecord] = {}
    for arm in gathered.arms:
        by_measure: dict[str, dict[int, RunRecord]] = {}
        for run in arm.runs:
            if (identity := _identity(run)) is not None:
                firsts.setdefault(identity, run)
                by_measure.setdefault(identity, {})[run.seed] = run
        for identity, runs in by_measure.items():
            rows.setdefault((identity, arm.place), []).append((arm, runs))
    measures = _measures(firsts)
    return [
        Contest(measures[name], setting, tuple(Standing(arm, measures[name], runs) for arm, runs in arms))
        for (name, setting), arms in rows.items()
    ]


def own_interval(after: JsonObject) -> Interval | None:
    """The interval that the run has written; else Wilson's, from one answer a problem."""
    ends = after.get("interval")
    if isinstance(ends, list) and len(ends) == 2:
        low, high = map(finite, ends)
        if low is not None and high is not None:
            return low, high
    counts = counted(after)
    return wilson_interval(*counts) if counts else None


def counted(evaluation: JsonObject) -> tuple[int, int] | None:
    """Right answers and problems of an evaluation with one answer a problem, else None."""
    correct, problems = whole(evaluation.get("correct")), whole(evaluation.get("problems"))
    if correct is None or problems is None or not 0 <= correct <= problems or problems == 0:
        return None
    return (correct, problems) if evaluation.get("samples", 1) == 1 else None


def _identity(run: RunRecord) -> str | None:
    """The same for runs measured on the same problems in the same way. None where there is no result."""
    after = run.evaluation("after")
    if finite(after.get("accuracy", after.get("loss"))) is None:
        return None
    how = {name: after.get(name) for name in ("task", "split", "problems", "samples", "temperature", "examples")}
    return json.dumps([how, "accuracy" in after, _data(run)], sort_keys=True, default=str)


def _data(run: RunRecord) -> JsonObject:
    """The settings of its task, or of its supervised data, dotted."""
    return flattened(mapping(run.recipe.get("task", run.recipe.get("data"))))


def _measures(firsts: Mapping[str, RunRecord]) -> dict[str, Measure]:
    """By identity. Where two would have the same name, with the settings of the task that tell them apart."""
    names = {identity: _measure_name(run.evaluation("after")) for identity, run in firsts.items()}
    data = {identity: _data(run) for identity, run in firsts.items()}
    measures = {}
    for identity, name in names.items():
        apart = differing([data[other] for other, same in names.items() if same == name])
        words = ", ".join(f"{key} {written(data[identity][key])}" for key in apart if key in data[identity])
        accuracy = "accuracy" in firsts[identity].evaluation("after")
        measures[identity] = Measure(f"{name}, {words}" if words else name, accuracy)
    return measures


def _measure_name(after: JsonObject) -> str:
    if "accuracy" not in after:
        return f"Held-out loss in nats a token, {written(after.get('examples', '?'))} examples"
    samples, temperature = after.get("samples", 1), finite(after.get("temperature")) or 0.0
    answers = f" x {written(samples)} answers" if samples != 1 else ""
    how = "greedy" if temperature == 0 else f"temperature {temperature:g}"
    task, split = written(after.get("task", "?")), written(after.get("split", "?"))
    return f"Accuracy on {task} ({split} split, {written(after.get('problems', '?'))} problems{answers}, {how})"
