"""What a study will cost: each of its cells probed for a few steps, the memory of each from the planner."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from paring.adapters.kinds import Gated
from paring.config import AnyRun, Run, as_plain
from paring.planning.plan import plan as plan_memory
from paring.planning.plan_words import gigabytes
from paring.runtime.folder import RunFolder
from paring.runtime.journal import read_rows
from paring.runtime.tables import Table
from paring.runtime.text import duration
from paring.study import child
from paring.study.cells import Cell, PlannedRun, cells
from paring.study.course import Course
from paring.study.processes import Jobs, LocalJobs

STEPS = 3
"""Of a probe; the first is not counted, since it warms up."""
PROBLEMS = 16
"""Held-out problems of a probe."""
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Probe:
    """Seconds and tokens of a run, measured on its first steps."""

    start_up: float
    step: float
    tokens: float
    problem: float
    """Seconds for each held-out problem."""

    def seconds(self, run: AnyRun) -> float:
        """Of the whole run."""
        return self.start_up + run.steps * self.step + self.problem * problems_measured(run)


@dataclass(frozen=True)
class CellCost:
    """What the runs of a cell cost, tuning included: they differ in seed and tuned value only."""

    cell: Cell
    runs: int
    steps: int
    tokens: float
    seconds: float
    step: float
    memory: int


def costs(course: Course, probing: Jobs, note: Callable[[str], None]) -> Iterator[CellCost]:
    """Probe each cell in a folder that is removed again. Raises ValueError where a probe does not come to its end."""
    for cell in cells(course.study):
        note(f"probing {cell} ...")
        runs = [planned for planned in course.runs if planned.cell == cell]
        found = probed(runs[-1], probing)
        steps = sum(planned.run.steps for planned in runs)
        seconds = sum(found.seconds(planned.run) for planned in runs)
        memory = plan_memory(runs[-1].run).own.peak
        yield CellCost(cell, len(runs), steps, found.tokens * steps, seconds, found.step, memory)


def probed(planned: PlannedRun, jobs: Jobs) -> Probe:
    """The first steps of a run, made as the study would make them. Raises ValueError."""
    with TemporaryDirectory(prefix="paring-probe-") as place:
        folder = RunFolder(Path(place) / "run")
        start = time.perf_counter()
        jobs.start(json.dumps(as_plain(shortened(planned.run))), folder.path)
        try:
            while not (codes := jobs.ended()):
                time.sleep(POLL_SECONDS)
        except BaseException:
            jobs.stop()
            while not jobs.ended():
                time.sleep(POLL_SECONDS)
            raise
        whole = time.perf_counter() - start
        result = folder.read_result()
        if result is None:
            raise ValueError(
                f"the probe of {planned} ended with code {codes[folder.path]}: {child.last_words(folder.path)}"
            )
        rows = list(read_rows(folder.metrics))
    measured = [result[when] for when in ("before", "after")]
    evaluating = sum(one["seconds"] for one in measured)
    later = rows[1:]
    return Probe(
        start_up=max(0.0, whole - sum(row["seconds"] for row in rows) - evaluating),
        step=sum(row["seconds"] for row in later) / len(later),
        tokens=sum(_tokens(planned.run, row) for row in later) / len(later),
        problem=evaluating / sum(one.get("problems", one.get("examples")) for one in measured),
    )


def shortened(run: AnyRun) -> AnyRun:
    """The same run, ended after a few steps and measured on a few problems."""
    adapter = run.adapter
    if isinstance(adapter, Gated):
        adapter = replace(adapter, events=min(adapter.events, STEPS))
    evaluate = replace(run.evaluate, every=0, limit=min(run.evaluate.limit, PROBLEMS))
    if isinstance(run, Run):
        evaluate = replace(evaluate, validation_at_end=False)
    return replace(run, steps=STEPS, adapter=adapter, evaluate=evaluate, save=replace(run.save, every=0))


def problems_measured(run: AnyRun) -> int:
    """Held-out problems that a whole run answers."""
    before_and_after, during = 2 * run.evaluate.limit, run.steps // run.evaluate.every if run.evaluate.every else 0
    if not isinstance(run, Run):
        return before_and_after + during * run.evaluate.limit
    before_and_after = 2 * min(run.evaluate.limit, len(run.task.problems("test")))
    return before_and_after + (during + run.evaluate.validation_at_end) * run.evaluate.validation_limit


def cost_table(course: Course, jobs: Jobs, probing: Jobs | None = None) -> str:
    """For people: `paring study --dry-run`. Probes are made on this machine, wherever the study is to run."""
    probing = probing or LocalJobs(1, jobs.threads)
    found = list(costs(course, probing, lambda text: print(text, file=sys.stderr)))
    rows = [
        (
            str(cost.cell),
            str(cost.runs),
            f"{cost.steps:,}",
            f"{cost.tokens:,.0f}",
            f"{cost.step:.3g}",
            duration(cost.seconds),
            gigabytes(cost.memory),
        )
        for cost in found
    ]
    seconds = sum(cost.seconds for cost in found) / jobs.slots
    memory = jobs.slots * max(cost.memory for cost in found)
    steps, tokens = sum(cost.steps for cost in found), sum(cost.tokens for cost in found)
    rows.append(
        ("all", str(len(course.runs)), f"{steps:,}", f"{tokens:,.0f}", "", duration(seconds), gigabytes(memory))
    )
    side = f"{jobs.slots} runs" if jobs.slots > 1 else "one run"
    return "\n".join(
        [
            *Table(("", "runs", "steps", "tokens", "s a step", "time", "memory GB"), rows).as_text(),
            f"with {side} at a time. Time and tokens are those of {STEPS - 1} steps of one run of each line, on this "
            "machine: answers that grow cost more, and runs side by side may slow each other. Memory is an estimate "
            "(docs/planning.md).",
            "nothing was written",
        ]
    )


def _tokens(run: AnyRun, row: dict[str, Any]) -> float:
    """Tokens that a step samples, or learns."""
    return row["length"] * run.rollout.problems * run.rollout.group_size if isinstance(run, Run) else row["tokens"]
