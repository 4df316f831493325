"""Two runs beside each other: what their recipes and results differ in, and whether chance would explain it."""

from dataclasses import asdict, dataclass
from pathlib import Path

from paring.maths.pairing import Paired
from paring.reporting.by_task import accuracy_words_of, last_of, tasks_as_plain, tasks_of
from paring.reporting.contests import Measure, own_interval
from paring.reporting.contrasts import over_problems
from paring.reporting.runs import RunRecord, finite, mapping, mean, read_run
from paring.runtime.folder import RunFolder
from paring.runtime.tables import Table
from paring.runtime.text import count_words, one_line, p_words, points, points_interval
from paring.settings.recipes import changes

LAST_STEPS = 10
"""Final metrics are means over this number of last steps: one step is noise."""
FINAL = ("reward", "accuracy", "length", "loss", "kl", "entropy", "clip_fraction", "grad_norm", "groups_without_signal")
COSTS = ("training_seconds", "peak_memory_gb")


@dataclass(frozen=True)
class Compared:
    """Two finished runs.

    recipes  a line for each setting that differs, first -> second
    test     the paired comparison over problems, second less first; else why there is none
    """

    first: RunRecord
    second: RunRecord
    recipes: tuple[str, ...]
    test: Paired | str

    @property
    def sides(self) -> dict[str, RunRecord]:
        return {"first": self.first, "second": self.second}

    def as_plain(self) -> dict[str, object]:
        """The values that `paring compare --json` prints."""
        sides, test = self.sides.items(), self.test
        tested: dict[str, object] = {"none": test}
        if isinstance(test, Paired):
            tested = asdict(test) | {"difference": test.difference, "interval": [test.low, test.high]}
        return {
            **{side: str(run.folder) for side, run in sides},
            "recipes": list(self.recipes),
            "after": {side: run.evaluation("after") for side, run in sides},
            "test": tested,
            "final": {side: _final(run) for side, run in sides},
            "tasks": {side: tasks_as_plain(run) for side, run in sides},
            "collapse": {side: run.ended("collapse") for side, run in sides},
            "parameters": {side: _parameters(run) for side, run in sides},
            **{cost: {side: run.ended(cost) for side, run in sides} for cost in COSTS},
        }

    def as_text(self) -> str:
        """The same for people."""
        runs = self.first, self.second
        finals = [_final(run) for run in runs]
        rows = [(name, *(_measured(run, name) for run in runs)) for name in ("accuracy", "loss")]
        tasks = tasks_of(runs)
        rows += [(f"accuracy: {task}", *(accuracy_words_of(run, task) for run in runs)) for task in tasks]
        rows += [(f"{name}, last steps", *(_number(final.get(name)) for final in finals)) for name in FINAL]
        rows += [
            (f"reward, last steps: {task}", *(_number(last_of(run, "reward", task, LAST_STEPS)) for run in runs))
            for task in tasks
        ]
        rows.append(("parameters", *(_number(_parameters(run)) for run in runs)))
        rows += [(cost.replace("_", " "), *(_number(run.ended(cost)) for run in runs)) for cost in COSTS]
        table = Table(("after training", "first", "second"), [row for row in rows if set(row[1:]) != {"-"}])
        lines = [f"{side:<7} {run.folder}" for side, run in self.sides.items()]
        lines += ["", "settings, first -> second:"]
        lines += [f"  {one_line(line)}" for line in self.recipes or ["none: the recipes are the same"]]
        lines += ["", *table.as_text(), "", *self._verdict()]
        for side, run in self.sides.items():
            if words := mapping(run.ended("collapse")).get("words"):
                lines.append(f"{side}: {one_line(str(words))}")
        return "\n".join(lines)

    def _verdict(self) -> list[str]:
        test = self.test
        if isinstance(test, str):
            return [f"no paired test: {test}"]
        change = f"{points(test.difference)} points {points_interval(test.low, test.high)}"
        problems = count_words(test.problems, "problem")
        lines = [f"accuracy, second less first: {change} over {problems}, {p_words(test.p)} ({test.test})"]
        if test.first_only is not None:
            lines.append(f"only the first has {test.first_only} right, only the second {test.second_only}")
        seeds = "for those, repeat both with several seeds (paring study)"
        return [*lines, f"this compares these two runs, not their recipes: {seeds}"]


def compare(first: Path | str, second: Path | str) -> Compared:
    """Two run folders beside each other. Raises ValueError where one holds no run, or one without result."""
    one, other = _finished(Path(first)), _finished(Path(second))
    if not (one.items and other.items):
        none = "a run has no items.jsonl, as supervised runs have none, so its answers cannot be paired"
    else:
        none = "the runs were measured on different problems, so their answers cannot be paired"
    return Compared(one, other, tuple(changes(one.recipe, other.recipe)), over_problems([one], [other]) or none)


def _finished(folder: Path) -> RunRecord:
    run = read_run(folder)
    if RunFolder(folder).read_result() is None or run.result is None:
        raise ValueError(f"{folder} has no result yet: go on with it by  paring train --resume {folder}")
    return run


def _measured(run: RunRecord, name: str) -> str:
    after = run.evaluation("after")
    value, measure = finite(after.get(name)), Measure(name, name == "accuracy")
    if value is None:
        return "-"
    return measure.with_interval(value, own_interval(after) if measure.accuracy else None)


def _parameters(run: RunRecord) -> object:
    return mapping(run.ended("adapter")).get("parameters")


def _final(run: RunRecord) -> dict[str, float]:
    """Means over the last steps, of the metrics that were finite there."""
    means = {name: mean(finite(row.get(name)) for row in run.rows[-LAST_STEPS:]) for name in FINAL}
    return {name: value for name, value in means.items() if value is not None}


def _number(value: object) -> str:
    number = finite(value)
    if number is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{number:.4g}"
