"""From what is asked to exams: each task with the problems that a subject will answer, checked before any work."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import blake2b
from typing import Any

from paring.config import Run, task_named, task_names
from paring.evaluation.asked import Asked
from paring.evaluation.benchmarks.benchmark import Flaw, parts_of
from paring.evaluation.benchmarks.benchmark_task import BenchmarkTask, shown_examples
from paring.evaluation.benchmarks.catalogue import BENCHMARKS, benchmark_named
from paring.policy.chat import prompt_tokens
from paring.policy.model import Policy
from paring.rollout.engine import Sampling
from paring.rollout.local import check_length
from paring.subjects.opening import own_task, room_for_answers
from paring.tasks.base import Task
from paring.tasks.styles import STYLES, Boxed, Style, style_of
from paring.types import Problem
from paring.verifier import Verifier


@dataclass(frozen=True)
class Exam:
    """A task and those of its test problems that are asked."""

    task: Task
    problems: Sequence[Problem]

    @property
    def name(self) -> str:
        return self.task.name

    @property
    def benchmark(self) -> BenchmarkTask | None:
        """The task where it is a benchmark."""
        return self.task if isinstance(self.task, BenchmarkTask) else None

    @property
    def digest(self) -> str:
        """Of prompts and golds: an evaluation goes on with the same ones only."""
        asked = [[problem.id, problem.messages, problem.gold] for problem in self.problems]
        return blake2b(json.dumps(asked).encode(), digest_size=8).hexdigest()

    def facts(self, index: int) -> dict[str, Any]:
        """What the benchmark knows of the problem at this place: its row, labels and flaw."""
        if self.benchmark is None:
            return {}
        item = self.benchmark.items[index]
        flaw = {"flaw": item.flaw.reason} if item.flaw is not None else {}
        return {"row": item.row, "labels": item.labels} | flaw

    def about(self) -> dict[str, Any]:
        """How the task was asked, for the results; of a benchmark also which broken rows were met and how."""
        if (task := self.benchmark) is None:
            return {"title": self.name}
        met = [item.flaw for item in task.items[: len(self.problems)] if item.flaw is not None]
        return {
            "title": task.benchmark.title,
            "style": task.style.kind,
            "shots": len(shown_examples(parts_of(task.benchmark)[0], task.shots)),
            "note": task.benchmark.note,
            "mended": _told(met if task.broken == "mend" else []),
            "as_published": _told(met if task.broken == "keep" else []),
            "left_out": _told(task.left_out),
        }


def _told(flaws: Sequence[Flaw]) -> list[dict[str, Any]]:
    return [{"row": flaw.row, "reason": flaw.reason} for flaw in flaws]


def exams(asked: Asked, run: Run | None, style: Style, verifier: Verifier) -> list[Exam]:
    """The tasks of an evaluation; `run` is the subject's where it is one of reinforcement learning. All benchmarks
    share the verifier, and so its workers.

    Raises ValueError for an unknown task (with the nearest name), a limit above a task's size, a task twice;
    FileNotFoundError where data are missing, saying how to get them; ModuleNotFoundError without an extra it needs."""
    if not asked.tasks and run is None:
        raise ValueError(f"name a task: {', '.join(known_tasks())}")
    if not asked.tasks:
        return [_limited(own_task(run, asked.task_settings or {}), asked.limit)]
    chosen = []
    for wanted in asked.tasks:
        name, colon, own_limit = wanted.partition(":")
        if colon and not (own_limit.isdecimal() and int(own_limit)):
            raise ValueError(f"task {wanted!r}: behind the colon a number from 1 is its limit, such as {name}:100")
        chosen.append(_limited(_task(name, asked, run, style, verifier), int(own_limit) if colon else asked.limit))
    names = [exam.name for exam in chosen]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"tasks: {', '.join(sorted(repeated))} stands there twice")
    return chosen


def known_tasks() -> list[str]:
    return sorted({*task_names(), *(benchmark.name for benchmark in BENCHMARKS)})


def style_for(asked: Asked, run: Run | None) -> tuple[Style, list[str]]:
    """The style of benchmarks' prompts, and what has to be said of it: a run is asked as it was trained."""
    if asked.style is not None and asked.style not in STYLES:
        raise ValueError(f"style = {asked.style!r}: unknown; choices: {', '.join(STYLES)}")
    wanted = None if asked.style is None else STYLES[asked.style]
    if run is None:
        return wanted or Boxed(), []
    try:
        trained = style_of(run.task.problems("train")[0].messages)
    except (FileNotFoundError, ModuleNotFoundError):
        return wanted or Boxed(), ["the data of the run are not here, so the style it was trained in is not known"]
    if trained is None:
        asks = (wanted or Boxed()).kind
        return wanted or Boxed(), [f"{run.task.name} trained with other prompts than benchmarks are asked with: {asks}"]
    if wanted not in (None, trained):
        return wanted, [f"{run.task.name} trained in the style {trained.kind}, and is asked in {wanted.kind}"]
    return trained, []


def sampling_for(exam: Exam, asked: Asked, run: Run | None, policy: Policy) -> Sampling:
    """How the answers are drawn. Raises ValueError where a prompt with its answer does not fit the context."""
    lengths = [len(prompt_tokens(policy.tokenizer, problem.messages)) for problem in exam.problems]
    most = asked.max_new_tokens
    if most is None:
        is_own = run is not None and run.task.name == exam.name
        most = run.rollout.max_new_tokens if is_own else room_for_answers(policy, max(lengths))
    for problem, length in zip(exam.problems, lengths, strict=True):
        check_length(problem, length, most, policy.context)
    return Sampling(max_new_tokens=most, temperature=asked.temperature)


def _limited(task: Task, limit: int | None) -> Exam:
    problems = task.problems("test")
    if limit is not None and limit > len(problems):
        raise ValueError(f"limit = {limit}: {task.name} has {len(problems)} problems; ask for as many at most")
    if isinstance(task, BenchmarkTask):
        task.check(problems[:limit])
    return Exam(task, problems[:limit])


def _task(name: str, asked: Asked, run: Run | None, style: Style, verifier: Verifier) -> Task:
    """A benchmark, unless settings of a task are given; of the run's own task, over its own settings."""
    given = asked.task_settings or {}
    benchmark = benchmark_named(name)
    if benchmark is not None and not given:
        return BenchmarkTask(benchmark, style, asked.shots, asked.data, asked.broken, verifier)
    if run is not None and name == run.task.name:
        return own_task(run, given)
    if name in task_names():
        return task_named(name, given)
    if benchmark is not None:
        raise ValueError(f"{name} is a benchmark and takes no KEY=VALUE: see --style, --shots, --data and --broken")
    known = known_tasks()
    near = get_close_matches(name.lower().replace("-", "_"), known, n=1) or get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ValueError(f"task {name!r}: unknown; {hint}Choices: {', '.join(known)}")
