"""`paring filter`: the problems of a recipe's task whose pass rate is in a range, measured and written as data."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote

from paring.adapters.beginning import Beginning
from paring.evaluation.answering import answer
from paring.evaluation.exam import Exam
from paring.evaluation.pass_rates import PassRates, empty_tasks, pass_rate, rows_of, training_problems
from paring.evaluation.request import Request, request_of
from paring.policy.loading import resolved
from paring.policy.model import Policy
from paring.rollout.engine import Engine
from paring.rollout.local import LocalEngine, check_decodes
from paring.runtime.files import write_durably
from paring.runtime.interruption import Interruption
from paring.runtime.lock import run_lock
from paring.runtime.machine import versions
from paring.runtime.screen import Screen
from paring.runtime.text import count_words, next_steps
from paring.settings.complaints import DataError
from paring.settings.options import OptionError
from paring.subjects.evaluation_folder import begin
from paring.subjects.opening import Subject, base_of, open_subject
from paring.subjects.served_answers import answering
from paring.tasks.mixture import by_label, own_data_of
from paring.training.config import AnyRun, Run, as_plain
from paring.types import Json, Problem

KEPT, RECORD, ANSWERS = "kept.jsonl", "filter.json", "items"


@dataclass(frozen=True)
class Filter:
    """The run whose training problems are measured, by `samples` answers each, drawn as the run draws them.

    by       a run, model or adapter that answers; None: what the run begins with
    least, most   the range of the pass rates that are kept, both ends among them
    limit    the first so many problems; None: all
    server   addresses of vLLM servers that answer; none: this process does
    """

    run: Run
    by: str | None = None
    samples: int = 8
    least: float = 0.1
    most: float = 0.9
    limit: int | None = None
    server: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.least > self.most:
            raise ValueError(f"--least {self.least:g} is above --most {self.most:g}: no pass rate is in this range")
        if not any(self.least <= right / self.samples <= self.most for right in range(self.samples + 1)):
            raise ValueError(
                f"with --samples {self.samples} no pass rate is from {self.least:g} to {self.most:g}: take more "
                "samples, or widen the range by --least and --most"
            )

    @property
    def subject(self) -> str:
        adapter = self.run.adapter
        start = adapter.start if isinstance(adapter, Beginning) else None
        return self.by or start or self.run.model.path

    def request(self) -> Request:
        rollout = self.run.rollout
        return request_of(
            subject=self.subject,
            limit=self.limit,
            samples=self.samples,
            temperature=rollout.temperature,
            top_p=rollout.top_p,
            top_k=rollout.top_k,
            min_p=rollout.min_p,
            seed=self.run.seed,
            rows=min(rollout.rows, rollout.problems * rollout.group_size),
            server=self.server,
        )


@dataclass(frozen=True)
class Measured:
    """The files, the pass rates and the record of a filter; without files it was a dry run."""

    rates: PassRates
    record: dict[str, Json]
    files: tuple[Path, ...] = ()


def checked_filter(run: AnyRun, **settings: object) -> Filter:
    """Raises ValueError for a supervised run, whose examples have no pass rates, and for a range without any."""
    if not isinstance(run, Run):
        raise ValueError(
            'the recipe is a supervised run (method = "sft"), whose examples no task judges: name one of reinforcement '
            "learning with its task, such as  paring filter quickstart task.name=maths task.data=my.jsonl"
        )
    return Filter(run, **settings)  # pyright: ignore[reportArgumentType]  checked by the command line


def filter_problems(
    asked: Filter,
    folder: Path,
    *,
    dry_run: bool = False,
    screen: Screen | None = None,
    engine_of: Callable[[Policy, int], Engine] = LocalEngine,
) -> Measured | int:
    """Measure what is not yet on record in `folder`, and write the problems within the range there; the same call goes
    on after a kill, and with another range it answers nothing anew. An exit code where it was interrupted.

    Raises ValueError or FileNotFoundError, before any answer, for what is wrong with task, data, model or folder, and
    DataError with the histogram where no problem is in the range."""
    screen, request, task = screen or Screen(sys.stderr), asked.request(), asked.run.task
    problems = _problems(asked)
    subject = _opened(asked)
    exam = _fitted(Exam(task, problems), asked.run, subject.policy)
    record = _record(asked, exam, subject)
    if dry_run:
        return Measured(PassRates({}, asked.least, asked.most), record)
    begin(folder, request, {task.name: exam.identity()}, subject.identity(), None)
    with run_lock(folder), Interruption("the problems in hand") as interruption:
        with answering(subject, [exam], request, folder, screen, engine_of) as engine:
            answered = answer(
                engine,
                exams=[exam],
                request=request,
                folder=folder / ANSWERS,
                title=asked.subject,
                screen=screen,
                interruption=interruption,
            )
        if answered is None:
            return interruption.exit_code
        items = answered[0].items
        rates = PassRates({item.problem: pass_rate(item) for item in items}, asked.least, asked.most)
        _check_kept(rates, exam)
        kept = [problem for problem in exam.problems if problem.id in rates.kept]
        rows = "".join(json.dumps(row, default=str) + "\n" for row in rows_of(task, kept, rates.kept))
        parts = {label or task.name: own for label, own in by_label(task, exam.problems).items()}
        record |= {
            "kept": {label: sum(problem.id in rates.kept for problem in own) for label, own in parts.items()},
            "histogram": {name: list(counts) for name, counts in rates.histogram.items()},
        }
        files = folder / KEPT, folder / RECORD
        write_durably(files[0], rows.encode("ascii"))
        write_durably(files[1], (json.dumps(record, indent=2) + "\n").encode("ascii"))
        return Measured(rates, record, files)


def _problems(asked: Filter) -> list[Problem]:
    """The training problems that are measured. Raises OptionError for a limit above their number."""
    problems, limit = training_problems(asked.run.task, asked.run.rollout.only), asked.limit
    if not problems:
        raise ValueError(f"task {asked.run.task.name}: its train split is empty")
    if limit is not None and limit > len(problems):
        name = asked.run.task.name
        raise OptionError(
            lambda option: (
                f"{option.given('limit', limit)}: {name} has {len(problems):,} training problems; ask for as many at "
                "most"
            )
        )
    return list(problems[:limit])


def _opened(asked: Filter) -> Subject:
    """The subject with the recipe's own base, unless another is named."""
    name = asked.subject
    subject = open_subject(name, resolved(base_of(name) if asked.by else asked.run.model))
    return replace(subject, policy=check_decodes(subject.policy))


def _fitted(exam: Exam, run: Run, policy: Policy) -> Exam:
    """Ended and bounded as the run's answers are. Raises ValueError for prompts that are too long."""
    skips = any(own.long == "skip" for own, _ in own_data_of(run.task, exam.problems))
    exam = replace(exam, stop=run.rollout.stop, keep_stop=run.rollout.keep_stop)
    try:
        return exam.fitted(policy, run.rollout.max_new_tokens, "skip" if skips else "stop")
    except OptionError as error:
        words = (
            str(error).replace("max_new_tokens", "rollout.max_new_tokens").replace("long = 'skip'", "task.long=skip")
        )
        raise DataError(words) from error


def _check_kept(rates: PassRates, exam: Exam) -> None:
    """Raises DataError, with the histogram, where a task has no problem in the range."""
    if empty := empty_tasks(exam.task, exam.problems, rates.kept):
        raise DataError(
            f"{', '.join(empty)}: no problem has a pass rate from {rates.least:g} to {rates.most:g}. All that were "
            "measured:\n" + "\n".join(rates.table().as_text()) + "\nWiden the range by --least and --most (the answers "
            "are on record, none is sampled again), or measure with another model by --by"
        )


def _record(asked: Filter, exam: Exam, subject: Subject) -> dict[str, Json]:
    """How the pass rates were measured, beside the data."""
    request = asked.request()
    return {
        "recipe": as_plain(asked.run),
        "by": asked.subject,
        **subject.identity(),
        "problems": len(exam.problems),
        "too_long": list(exam.too_long),
        "samples": asked.samples,
        "least": asked.least,
        "most": asked.most,
        "sampling": {
            "drawn": request.drawn,
            "max_new_tokens": exam.max_new_tokens,
            "stop": list(exam.stop),
            "seed": request.seed,
        },
        "versions": versions(),
    }


def summary(measured: Measured, folder: Path, command: str) -> list[str]:
    """The result in words. `command`: the training that the filter was of."""
    rates, record = measured.rates, measured.record
    sampling, number = record["sampling"], record["problems"]
    assert isinstance(sampling, dict) and isinstance(number, int)
    how = (
        f"{count_words(number, 'problem')}, {record['samples']} answers each by {record['by']}: {sampling['drawn']}, "
        f"at most {sampling['max_new_tokens']} tokens"
    )
    if not measured.files:
        return [f"would measure {how}", f"would write {folder / KEPT}", "nothing was written"]
    kept = f"kept {len(rates.kept):,} with a pass rate from {rates.least:g} to {rates.most:g}"
    by_task = record["kept"]
    if isinstance(by_task, dict) and len(by_task) > 1:
        kept += ": " + ", ".join(f"{count} of {label}" for label, count in by_task.items())
    written = (f"written to {path}" for path in measured.files)
    only = quote(f"rollout.only={folder / KEPT}")
    steps = next_steps({f"{command} {only}": "train on them alone"})
    return [how, "", *rates.table().as_text(), "", kept, *written, "", *steps]
