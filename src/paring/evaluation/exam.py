"""A task with the problems that a subject will answer, checked before any work, and how they are put to it."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from paring.evaluation.benchmarks.benchmark import AnyBenchmark, Flaw
from paring.evaluation.benchmarks.benchmark_task import BenchmarkTask
from paring.evaluation.items import Item, items_of, labelled
from paring.evaluation.request import Long, Request
from paring.policy.chat import prompts_tokens
from paring.policy.model import Policy
from paring.policy.tokens import check_rows, embedding_rows
from paring.rollout.engine import Engine
from paring.settings.options import OptionError
from paring.tasks.base import Task, judged
from paring.tasks.mixture import for_accuracy, judges_of
from paring.tasks.own_data import with_system
from paring.tasks.styles import NEXT_QUESTION, own_answer, prompt, style_of
from paring.types import Json, Key, Problem

LONGEST_ANSWER, LONGEST_THOUGHT = 4096, 32768
"""Tokens of an answer by default: of a model, and of one whose chat template knows thoughts."""
THOUGHTS = re.compile("think|reasoning", re.IGNORECASE)
LEAST_ROOM = 8
"""By default a prompt is too long that leaves less than one part in so many of the context to its answer."""


@dataclass(frozen=True)
class About:
    """How a task was put to the subject, for the results; for a benchmark also which broken rows were met and how.
    `too_long`: the problems that were left out because they do not fit the context."""

    title: str
    style: str | None
    shots: int
    max_new_tokens: int = LONGEST_ANSWER
    note: str = ""
    too_long: tuple[str, ...] = ()
    mended: tuple[Flaw, ...] = ()
    as_published: tuple[Flaw, ...] = ()
    left_out: tuple[Flaw, ...] = ()


@dataclass(frozen=True)
class Exam:
    """A task, those of its test problems that are put, in a style, the number of worked examples before each, the
    longest answer, and the strings that end one. `longest`: the longest by default, where the task says so. `too_long`:
    ids of problems that are left out because they do not fit the context. `label`: the name of one of a run's several
    tasks."""

    task: Task
    problems: Sequence[Problem]
    style: str | None = None
    shots: int = 0
    benchmark: AnyBenchmark | None = None
    longest: int | None = None
    max_new_tokens: int = LONGEST_ANSWER
    stop: tuple[str, ...] = ()
    keep_stop: bool = False
    too_long: tuple[str, ...] = ()
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or self.task.name

    def identity(self) -> dict[str, Json]:
        """An evaluation goes on only where these are the same: the digest is of prompts and golds."""
        put = [[problem.id, problem.messages, problem.gold] for problem in self.problems]
        digest = blake2b(json.dumps(put).encode(), digest_size=8).hexdigest()
        return {"problems": len(self.problems), "digest": digest, "max_new_tokens": self.max_new_tokens}

    def fitted(self, policy: Policy, longest: int | None, long: Long = "stop") -> "Exam":
        """With answers of at most `longest` tokens; None: of what the context leaves, up to LONGEST_ANSWER, or
        LONGEST_THOUGHT where the model's chat template knows thoughts. Problems that do not fit the context with their
        answer are left out if `long` is "skip". Raises OptionError where it is "stop", or where none fits."""
        judges_of(for_accuracy(self.task))
        prompts = prompts_tokens(policy.tokenizer, [problem.messages for problem in self.problems])
        for problem, tokens in zip(self.problems, prompts, strict=True):
            check_rows(tokens, embedding_rows(policy.model), policy.tokenizer, f"problem {problem.id}: its prompt")
        lengths = [len(tokens) for tokens in prompts]
        at_most = policy.context - (longest or max(1, policy.context // LEAST_ROOM))
        fit = [0 < length <= at_most for length in lengths]
        skipped = [problem.id for problem, fits in zip(self.problems, fit, strict=True) if not fits]
        if skipped and (long == "stop" or not any(fit)):
            raise self._too_long(skipped, lengths[fit.index(False)], longest, policy.context, long)
        if longest is None:
            thinks = THOUGHTS.search(str(policy.tokenizer.chat_template)) is not None
            room = policy.context - max(length for length, fits in zip(lengths, fit, strict=True) if fits)
            longest = min(LONGEST_THOUGHT if thinks else LONGEST_ANSWER, room)
        problems = [problem for problem, fits in zip(self.problems, fit, strict=True) if fits]
        return replace(self, problems=problems, max_new_tokens=longest, too_long=(*self.too_long, *skipped))

    def _too_long(
        self, skipped: Sequence[str], prompt: int, longest: int | None, context: int, long: Long
    ) -> OptionError:
        if prompt == 0:
            what = f"problem {skipped[0]}: its prompt has no tokens, and an answer must follow something"
        else:
            answer = "answers" if longest is None else f"an answer of {longest} tokens"
            what = (
                f"{self.name}: {len(skipped)} of {len(self.problems)} problems do not fit the model's context of "
                f"{context} tokens with {answer}; the first is {skipped[0]}, with a prompt of {prompt} tokens"
            )
        return OptionError(
            lambda name: (
                f"{what}: lower {name('max_new_tokens')}"
                + (f", or leave such problems out by {name.given('long', 'skip')}" if long == "stop" else "")
            )
        )

    def answered(self, engine: Engine, places: range, request: Request, members: range | None = None) -> list[Item]:
        """The problems at these places, answered and judged; of the answers of each only those of the numbers
        `members`, where they are given."""
        problems = self.problems[places.start : places.stop]
        members = members or range(request.samples)
        key = Key(request.seed, step=0, member=members.start)
        sampling = request.sampling(self.max_new_tokens, self.stop, keep_stop=self.keep_stop)
        groups = engine.sample(problems, len(members), sampling, key)
        cut = groups
        if self.shots:  # after examples, base models put the next question too
            cut = [
                replace(group, completions=tuple(replace(one, text=own_answer(one.text)) for one in group.completions))
                for group in groups
            ]
        items = items_of(groups, judged(for_accuracy(self.task), cut))
        if not isinstance(self.task, BenchmarkTask):
            return labelled(self.task, items)
        rows = [self.task.row_of[problem.id] for problem in problems]
        return [
            replace(item, row=row.number, labels=row.labels, flaw=row.flaw and row.flaw.reason)
            for item, row in zip(items, rows, strict=True)
        ]

    def about(self) -> About:
        about = About(self.name, self.style, self.shots, self.max_new_tokens, too_long=self.too_long)
        if self.benchmark is not None:
            about = replace(about, title=self.benchmark.title, note=self.benchmark.note)
        if not isinstance(self.task, BenchmarkTask):
            return about
        flaws = [self.task.row_of[problem.id].flaw for problem in self.problems]
        met = tuple(flaw for flaw in flaws if flaw is not None)
        kept = self.task.broken == "keep"
        return replace(about, mended=() if kept else met, as_published=met if kept else (), left_out=self.task.left_out)


def exam_of(
    task: Task,
    *,
    limit: int | None = None,
    shots: int | None = None,
    benchmark: AnyBenchmark | None = None,
    system: str | None = None,
) -> Exam:
    """The first problems of a task's test split, under the system prompt `system` where it is given. Raises OptionError
    for a limit above its size, or more `shots` than the benchmark has examples, and what the task raises where its data
    cannot be had."""
    problems = task.problems("test")
    if limit is not None and limit > len(problems):
        raise OptionError(
            lambda name: (
                f"{name.given('limit', limit)}: {task.name} has {len(problems)} problems; ask for as many at most"
            )
        )
    if not problems:
        raise ValueError(f"task {task.name}: its test split is empty")
    problems, shown = problems[:limit], ()
    if isinstance(task, BenchmarkTask):
        task.check(problems)
    if benchmark is not None:
        most = len(benchmark.examples)
        if (shots or 0) > most:
            raise OptionError(lambda name: f"{name.given('shots', shots)}: {benchmark.name} has 0 to {most} examples")
        shown = benchmark.examples[: benchmark.shots if shots is None else shots]
    style = style_of(problems[0].messages)
    if shown:
        problems = [
            replace(problem, messages=prompt(own, problem.messages[-1]["content"], shown)) if own else problem
            for problem, own in ((problem, style_of(problem.messages)) for problem in problems)
        ]
    if system is not None:
        problems = [replace(problem, messages=with_system(problem.messages, system)) for problem in problems]
    stop = (NEXT_QUESTION,) if shown else ()
    return Exam(task, problems, style and style.kind, len(shown), benchmark, stop=stop)
