"""What the runs came to: for each benchmark and setting, the mean of every arm with its interval."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paring.maths.estimates import t_interval, wilson_interval
from paring.ranks.words import one_line
from paring.report.differing import differing, written
from paring.report.gathering import Contender, Gathered
from paring.report.runs import RunRecord, finite
from paring.settings.recipes import flattened


@dataclass(frozen=True)
class Benchmark:
    """One kind of measurement. Accuracies are shares and written in per cent; losses are in nats a token."""

    name: str
    accuracy: bool

    def value(self, value: float) -> str:
        return f"{100 * value:.1f} %" if self.accuracy else f"{value:.4f}"

    def interval(self, interval: tuple[float, float]) -> str:
        """Without the unit, which the value before it has."""
        low, high = interval
        return f"[{100 * low:.1f}, {100 * high:.1f}]" if self.accuracy else f"[{low:.4f}, {high:.4f}]"

    def change(self, change: float) -> str:
        change += 0.0  # of 0 there is but one
        return f"{100 * change:+.1f} points" if self.accuracy else f"{change:+.4f} nats a token"

    def changes(self, interval: tuple[float, float]) -> str:
        """The interval of a change; that of accuracies is cut to what is possible."""
        low, high = (end + 0.0 for end in interval)
        if self.accuracy:
            return f"[{100 * max(-1.0, low):+.1f}, {100 * min(1.0, high):+.1f}]"
        return f"[{low:+.4f}, {high:+.4f}]"

    def better(self, change: float) -> bool:
        """Whether a change of this sign is for the better: accuracy up, loss down."""
        return (change > 0) == self.accuracy


@dataclass(frozen=True)
class Standing:
    """An arm on one benchmark: its finished runs by seed."""

    contender: Contender
    benchmark: Benchmark
    runs: Mapping[int, RunRecord]

    @property
    def label(self) -> str:
        return self.contender.label

    @property
    def values(self) -> dict[int, float]:
        return {seed: self.value(run, "after") for seed, run in self.runs.items()}

    @property
    def mean(self) -> float:
        return sum(self.values.values()) / len(self.runs)

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 %: Student's over seeds, cut to what an accuracy can be; of one run, that over its problems. None where
        a single loss says nothing of its own spread."""
        if len(self.runs) > 1:
            low, high = t_interval(list(self.values.values()))
            return (max(0.0, low), min(1.0, high)) if self.benchmark.accuracy else (low, high)
        return _own_interval(next(iter(self.runs.values())).evaluation("after"))

    @property
    def before(self) -> float | None:
        """The mean before training."""
        return self.mean_of("before", self.measured)

    @property
    def measured(self) -> str:
        """What the benchmark is called in an evaluation."""
        return "accuracy" if self.benchmark.accuracy else "loss"

    def value(self, run: RunRecord, when: str) -> float | None:
        return finite(run.evaluation(when).get(self.measured))

    def mean_of(self, when: str, name: str) -> float | None:
        """The mean of another number of the evaluations, over the runs that have it."""
        found = [value for run in self.runs.values() if (value := finite(run.evaluation(when).get(name))) is not None]
        return sum(found) / len(found) if found else None


@dataclass(frozen=True)
class Block:
    """What may be compared: arms measured on the same benchmark at the same setting."""

    benchmark: Benchmark
    setting: str
    standings: tuple[Standing, ...]

    @property
    def title(self) -> str:
        return f"{self.benchmark.name}; {self.setting}" if self.setting else self.benchmark.name


def blocks_of(gathered: Gathered) -> list[Block]:
    """Every benchmark and setting that a finished run was measured on."""
    names = _benchmark_names(gathered.runs)
    found: dict[tuple[str, str], list[tuple[Contender, dict[int, RunRecord]]]] = {}
    for contender in gathered.contenders:
        by_benchmark: dict[str, dict[int, RunRecord]] = {}
        for run in contender.arm.runs:
            if (identity := _identity(run)) is not None:
                by_benchmark.setdefault(identity, {})[run.seed] = run
        for identity, runs in by_benchmark.items():
            found.setdefault((identity, contender.setting), []).append((contender, runs))
    blocks = []
    for (identity, setting), rows in found.items():
        benchmark = Benchmark(names[identity], "accuracy" in next(iter(rows[0][1].values())).evaluation("after"))
        standings = tuple(Standing(contender, benchmark, runs) for contender, runs in rows)
        blocks.append(Block(benchmark, setting, standings))
    return blocks


def _own_interval(after: Mapping[str, Any]) -> tuple[float, float] | None:
    """The interval that the run has written; else Wilson's, of one answer a problem."""
    ends = after.get("interval")
    if isinstance(ends, list) and len(ends) == 2 and None not in (low_high := tuple(map(finite, ends))):
        return low_high
    correct, problems = after.get("correct"), after.get("problems")
    if type(correct) is int and type(problems) is int and 0 <= correct <= problems:
        return wilson_interval(correct, problems)
    return None


def _identity(run: RunRecord) -> str | None:
    """Runs measured on the same problems in the same way have the same. None where there is no result."""
    after, data = run.evaluation("after"), _data(run)
    if finite(after.get("accuracy", after.get("loss"))) is None:
        return None
    how = {name: after.get(name) for name in ("task", "split", "problems", "samples", "temperature", "examples")}
    return json.dumps([how, data], sort_keys=True, default=str)


def _data(run: RunRecord) -> dict[str, Any]:
    """The settings of its task, or of its supervised data, dotted."""
    data = run.recipe.get("task", run.recipe.get("data"))
    return flattened(data) if isinstance(data, dict) else {}


def _benchmark_names(runs: Sequence[RunRecord]) -> dict[str, str]:
    """By identity. Where two would have the same name, with the settings of the task that tell them apart."""
    firsts: dict[str, RunRecord] = {}
    for run in runs:
        if (identity := _identity(run)) is not None:
            firsts.setdefault(identity, run)
    names = {identity: _benchmark_name(run.evaluation("after")) for identity, run in firsts.items()}
    data = {identity: _data(run) for identity, run in firsts.items()}
    full = {}
    for identity, name in names.items():
        alike = [data[other] for other, same in names.items() if same == name]
        apart = differing(alike)
        words = ", ".join(f"{key} {written(data[identity][key])}" for key in apart if key in data[identity])
        full[identity] = f"{name}, {words}" if words else name
    return full


def _benchmark_name(after: Mapping[str, Any]) -> str:
    if "accuracy" not in after:
        return f"Held-out loss in nats a token, {written(after.get('examples', '?'))} examples"
    samples, temperature = after.get("samples", 1), finite(after.get("temperature")) or 0.0
    answers = f" x {written(samples)} answers" if samples != 1 else ""
    how = "greedy" if temperature == 0 else f"temperature {temperature:g}"
    task, split = one_line(str(after.get("task", "?"))), one_line(str(after.get("split", "?")))
    return f"Accuracy on {task} ({split} split, {written(after.get('problems', '?'))} problems{answers}, {how})"
