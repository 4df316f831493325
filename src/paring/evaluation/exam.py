"""A task with the problems that a subject will answer, checked before any work, and how they are put to it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from paring.evaluation.benchmarks.benchmark import AnyBenchmark, Flaw
from paring.evaluation.benchmarks.benchmark_task import BenchmarkTask
from paring.evaluation.items import Item, items_of
from paring.evaluation.request import Request
from paring.policy.chat import prompt_tokens
from paring.policy.model import Policy
from paring.policy.tokens import check_rows, embedding_rows
from paring.rollout.engine import Engine, Sampling
from paring.rollout.local import check_length
from paring.tasks.base import Task, judged
from paring.tasks.styles import Shot, own_answer, prompt, style_of
from paring.types import Json, Key, Problem

LONGEST_ANSWER = 512


@dataclass(frozen=True)
class About:
    """How a task was put to the subject, for the results; for a benchmark also which broken rows were met and how."""

    title: str
    style: str | None
    shots: int
    note: str = ""
    mended: tuple[Flaw, ...] = ()
    as_published: tuple[Flaw, ...] = ()
    left_out: tuple[Flaw, ...] = ()


@dataclass(frozen=True)
class Exam:
    """A task, those of its test problems that are put, the worked examples before each, and the longest answer."""

    task: Task
    problems: Sequence[Problem]
    shots: tuple[Shot, ...] = ()
    benchmark: AnyBenchmark | None = None
    max_new_tokens: int = LONGEST_ANSWER

    @property
    def name(self) -> str:
        return self.task.name

    def identity(self) -> dict[str, Json]:
        """An evaluation goes on only where these are the same: the digest is of prompts and golds."""
        put = [[problem.id, problem.messages, problem.gold] for problem in self.problems]
        digest = blake2b(json.dumps(put).encode(), digest_size=8).hexdigest()
        return {"problems": len(self.problems), "digest": digest, "max_new_tokens": self.max_new_tokens}

    def fitted(self, policy: Policy, longest: int | None) -> "Exam":
        """With answers of at most `longest` tokens; None: of what the context leaves, up to 512. Raises ValueError
        where a prompt with its answer does not fit the context."""
        prompts = [prompt_tokens(policy.tokenizer, problem.messages) for problem in self.problems]
        for problem, tokens in zip(self.problems, prompts, strict=True):
            check_rows(tokens, embedding_rows(policy.model), policy.tokenizer, f"problem {problem.id}: its prompt")
        lengths = [len(tokens) for tokens in prompts]
        if longest is None:
            longest = max(1, min(LONGEST_ANSWER, policy.context - max(lengths)))
        for problem, length in zip(self.problems, lengths, strict=True):
            check_length(problem, length, longest, policy.context)
        return replace(self, max_new_tokens=longest)

    def answered(self, engine: Engine, places: range, request: Request) -> list[Item]:
        """The problems at these places, answered and judged."""
        sampling = Sampling(max_new_tokens=self.max_new_tokens, temperature=request.temperature)
        problems = self.problems[places.start : places.stop]
        groups = engine.sample(problems, request.samples, sampling, Key(request.seed, step=0))
        cut = groups
        if self.shots:  # after examples, base models put the next question too
            cut = [
                replace(group, completions=tuple(replace(one, text=own_answer(one.text)) for one in group.completions))
                for group in groups
            ]
        items = items_of(groups, judged(self.task, cut))
        if not isinstance(self.task, BenchmarkTask):
            return items
        rows = self.task.rows[places.start : places.stop]
        return [
            replace(item, row=row.number, labels=row.labels, flaw=row.flaw and row.flaw.reason)
            for item, row in zip(items, rows, strict=True)
        ]

    def about(self) -> About:
        style = style_of(self.problems[0].messages)
        about = About(self.name, style and style.kind, len(self.shots))
        if self.benchmark is not None:
            about = replace(about, title=self.benchmark.title, note=self.benchmark.note)
        if not isinstance(self.task, BenchmarkTask):
            return about
        met = tuple(row.flaw for row in self.task.rows[: len(self.problems)] if row.flaw is not None)
        kept = self.task.broken == "keep"
        return replace(about, mended=() if kept else met, as_published=met if kept else (), left_out=self.task.left_out)


def exam_of(
    task: Task, *, limit: int | None = None, shots: int | None = None, benchmark: AnyBenchmark | None = None
) -> Exam:
    """The first problems of a task's test split. Raises ValueError for a limit above its size, or more `shots` than
    the benchmark has examples, and what the task raises where its data cannot be had."""
    problems = task.problems("test")
    if limit is not None and limit > len(problems):
        raise ValueError(f"limit = {limit}: {task.name} has {len(problems)} problems; ask for as many at most")
    if not problems:
        raise ValueError(f"task {task.name}: its test split is empty")
    problems = problems[:limit]
    if isinstance(task, BenchmarkTask):
        task.check(problems)
    if benchmark is None:
        return Exam(task, problems)
    if (shots or 0) > len(benchmark.examples):
        raise ValueError(f"shots = {shots}: {benchmark.name} has 0 to {len(benchmark.examples)} examples")
    shown = benchmark.examples[: benchmark.shots if shots is None else shots]
    if shown:
        problems = [
            replace(problem, messages=prompt(style, problem.messages[-1]["content"], shown)) if style else problem
            for problem, style in ((problem, style_of(problem.messages)) for problem in problems)
        ]
    return Exam(task, problems, shown, benchmark)
