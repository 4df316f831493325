"""The cost of a study: each of its cells probed for a few steps, the memory of each from the planner."""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from paring.adapters.kinds import Adalora, Allocated, Gated
from paring.planning.plan import plan as plan_memory
from paring.planning.plan_words import gigabytes
from paring.runtime.folder import RunFolder
from paring.runtime.journal import read_rows
from paring.runtime.tables import Table
from paring.runtime.text import count_words, duration
from paring.study import child
from paring.study.cells import PlannedRun, cells
from paring.study.course import Course
from paring.study.processes import Jobs, LocalJobs
from paring.study.study_folder import result_of
from paring.training.config import AnyRun, Run, as_plain

STEPS = 3
"""A probe's; the first is not counted, since it warms up."""
PROBLEMS = 16
"""Held-out problems of a probe."""
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Probe:
    """Seconds and tokens of a run and its steps, and seconds of a held-out problem, measured on the first steps."""

    start_up: float
    step: float
    tokens: float
    problem: float

    def seconds(self, run: AnyRun) -> float:
        """Seconds of the whole run."""
        return self.start_up + run.steps * self.step + self.problem * problems_measured(run)


def probed(planned: PlannedRun, jobs: Jobs) -> Probe:
    """The first steps of a run, made as the study would, in a folder that is removed again. Raises ValueError where
    they do not come to their end."""
    with TemporaryDirectory(prefix="paring-probe-") as place:
        folder = RunFolder(Path(place) / "run")
        start = time.perf_counter()
        jobs.start(json.dumps(as_plain(shortened(planned.run))), folder.path)
        try:
            codes = _ended(jobs)
        except BaseException:
            jobs.stop()
            _ended(jobs)
            raise
        whole = time.perf_counter() - start
        result = result_of(folder)
        if result is None:
            words = child.last_words(folder.path)
            raise ValueError(f"the probe of {planned} ended with code {codes[folder.path]}: {words}")
        rows = list(read_rows(folder.metrics))
    later = rows[1:]
    return Probe(
        start_up=max(0.0, whole - sum(row["seconds"] for row in rows) - result.evaluation_seconds),
        step=sum(row["seconds"] for row in later) / len(later),
        tokens=sum(_tokens(planned.run, row) for row in later) / len(later),
        problem=result.evaluation_seconds / result.evaluated,
    )


def shortened(run: AnyRun) -> AnyRun:
    """The same run, ended after a few steps and measured on a few problems."""
    adapter = run.adapter
    if isinstance(adapter, Gated):
        adapter = replace(adapter, events=1)
    elif isinstance(adapter, Adalora):
        adapter = replace(adapter, events=1, begin=0.0, settle=0.3)
    elif isinstance(adapter, Allocated):
        adapter = replace(adapter, probe=1)
    less = {"every": 0, "limit": min(run.evaluate.limit, PROBLEMS)}
    less |= {"validation_at_end": False, "samples": 0} if isinstance(run, Run) else {}
    short = {"steps": STEPS, "save": replace(run.save, every=0), "evaluate": replace(run.evaluate, **less)}
    return replace(run, adapter=adapter, **short)


def problems_measured(run: AnyRun) -> int:
    """Answers to held-out problems that a whole run gives."""
    during = run.steps // run.evaluate.every if run.evaluate.every else 0
    if not isinstance(run, Run):
        return (2 + during) * run.evaluate.limit
    before_and_after = 2 * (1 + run.evaluate.samples) * min(run.evaluate.limit, len(run.task.problems("test")))
    return before_and_after + (during + run.evaluate.validation_at_end) * run.evaluate.validation_limit


def cost_table(course: Course, jobs: Jobs, probing: Jobs | None = None) -> str:
    """For people: `paring study --dry-run`. Each cell is probed on this machine, wherever the study is to run; its
    runs, tuning included, differ in seed and tuned value only."""
    probing = probing or LocalJobs(1, jobs.threads, jobs.processes)
    costs, rows = [], []

    def row(name: str, runs: int, steps: int, tokens: float, step: str, seconds: float, memory: int) -> tuple[str, ...]:
        return (name, f"{runs}", f"{steps:,}", f"{tokens:,.0f}", step, duration(seconds), gigabytes(memory))

    for cell in cells(course.study):
        print(f"probing {cell} ...", file=sys.stderr)
        planned = [planned for planned in course.runs if planned.cell == cell]
        probe = probed(planned[-1], probing)
        planned += [planned[0]] * course.to_come(cell)  # trials that are not proposed yet
        steps = sum(one.run.steps for one in planned)
        seconds = sum(probe.seconds(one.run) for one in planned)
        memory = jobs.processes * plan_memory(planned[-1].run, processes=jobs.processes).own.peak
        costs.append((steps, probe.tokens * steps, seconds, memory))
        rows.append(row(str(cell), len(planned), steps, probe.tokens * steps, f"{probe.step:.3g}", seconds, memory))
    steps, tokens, seconds, memory = zip(*costs, strict=True)
    slots, each = jobs.slots, jobs.processes
    runs = len(course.runs) + course.to_come()
    rows.append(row("all", runs, sum(steps), sum(tokens), "", sum(seconds) / slots, slots * max(memory)))
    table = Table(
        ("", "runs", "steps", "tokens", "s a step", "time", "memory GB"),
        rows,
        notes=[
            f"with {count_words(slots, 'run')} at a time" + (f", each by {each} processes" if each > 1 else ""),
            f"time and tokens: from {STEPS - 1} steps of one run of each line, on this machine; answers that grow cost "
            "more, and runs side by side may slow each other",
            "memory: an estimate (docs/planning.md)",
        ],
    )
    return "\n".join([*table.as_text(), "nothing was written"])


def _ended(jobs: Jobs) -> dict[Path, int]:
    while not (codes := jobs.ended()):
        time.sleep(POLL_SECONDS)
    return codes


def _tokens(run: AnyRun, row: Mapping[str, float]) -> float:
    """Tokens that a step samples, or learns."""
    return row["length"] * run.rollout.problems * run.rollout.group_size if isinstance(run, Run) else row["tokens"]
