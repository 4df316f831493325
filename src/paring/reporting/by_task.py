"""Runs that train on several tasks: what the folder of each says of each task, as tables."""

from collections.abc import Iterable, Sequence
from statistics import fmean

from paring.reporting.gathering import Arm
from paring.reporting.runs import RunRecord, finite, mapping, mean, whole
from paring.runtime.tables import Table
from paring.runtime.text import count_words, percent, percent_interval, points

MOST_TASKS = 24
"""Tasks of a report or a comparison that are shown."""


def tasks_of(runs: Iterable[RunRecord]) -> list[str]:
    """The labels of the tasks, in the order of their first appearance; none for runs of a single task each."""
    labels: dict[str, None] = {}
    for run in runs:
        last = mapping(run.rows[-1].get("tasks")) if run.rows else {}
        labels |= dict.fromkeys([*last, *_measured(run, "after")])
    return list(labels)[:MOST_TASKS]


def accuracy_of(run: RunRecord, task: str, when: str = "after") -> float | None:
    """The accuracy on one task `before` or `after` training; None where it was not measured."""
    return finite(mapping(_measured(run, when).get(task)).get("value"))


def accuracy_words_of(run: RunRecord, task: str) -> str:
    """The accuracy after training with its interval; "-" where it was not measured."""
    value, interval = accuracy_of(run, task), _interval(run, task)
    return "-" if value is None else f"{percent(value)} %" + (f" {interval}" if interval else "")


def last_of(run: RunRecord, metric: str, task: str, steps: int | None = None) -> float | None:
    """The mean of a metric over the last steps of those that sampled the task: by default a tenth of them."""
    values = [value for _, value in run.series(metric, "tasks", task)]
    return fmean(values[-(steps or max(1, len(values) // 10)) :]) if values else None


def tasks_as_plain(run: RunRecord) -> dict[str, dict[str, float | None]]:
    """By task the accuracies before and after training, and the reward of the last tenth of its steps."""
    return {
        task: {
            **{when: accuracy_of(run, task, when) for when in ("before", "after")},
            "reward": last_of(run, "reward", task),
        }
        for task in tasks_of([run])
    }


def task_table(arms: Sequence[Arm]) -> Table:
    """A row for each arm and task: means over the arm's runs."""
    rows = []
    for task in tasks_of(run for arm in arms for run in arm.runs):
        for arm in arms:
            before, after = (mean(accuracy_of(run, task, when) for run in arm.runs) for when in ("before", "after"))
            reward, length = (mean(last_of(run, name, task) for run in arm.runs) for name in ("reward", "length"))
            if after is None and reward is None:
                continue
            problems = whole(mapping(_measured(arm.first, "after").get(task)).get("problems"))
            rows.append(
                [
                    task,
                    arm.full_label,
                    "" if after is None else f"{percent(after)} %",
                    _interval(arm.first, task) if len(arm.runs) == 1 else "",
                    "" if after is None or before is None else points(after - before),
                    "" if problems is None else str(problems),
                    str(len(arm.runs)),
                    "" if reward is None else f"{reward:.3g}",
                    "" if length is None else f"{length:.3g}",
                ]
            )
    head = ("task", "arm", "accuracy", "95 % interval", "change", "problems", "runs", "reward at the end", "length")
    return Table(head, rows, "Each task apart", words=frozenset({1}))


def tasks_in_words(recipe_task: object) -> str:
    """The task of a recipe; several by their labels."""
    task = mapping(recipe_task)
    parts = task.get("tasks")
    if not isinstance(parts, list):
        return str(task.get("name", "task"))
    names = [str(one.get("label") or mapping(one.get("task")).get("name", "task")) for one in map(mapping, parts)]
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} and {count_words(len(names) - 1, 'other task')}"


def _measured(run: RunRecord, when: str) -> dict[str, object]:
    return dict(mapping(mapping(run.evaluation(when).get("by")).get("task")))


def _interval(run: RunRecord, task: str) -> str:
    part = mapping(_measured(run, "after").get(task))
    low, high = finite(part.get("low")), finite(part.get("high"))
    return "" if low is None or high is None else percent_interval(low, high)
