"""`paring.evaluate` and `paring eval`: a subject answers, its answers go on record, and their figures are returned."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from paring.evaluation.answering import answer
from paring.evaluation.benchmarks import lm_eval
from paring.evaluation.exam import Exam, exam_of
from paring.evaluation.measuring import Evaluation
from paring.evaluation.outputs import write_outputs
from paring.evaluation.request import Request, request_of
from paring.evaluation.results import Results, task_results
from paring.policy.model import Policy
from paring.policy.templates import set_verbatim
from paring.rollout.engine import Engine
from paring.rollout.local import LocalEngine, check_decodes
from paring.runtime.interruption import Interruption
from paring.runtime.lock import run_lock
from paring.runtime.machine import versions
from paring.runtime.screen import Screen
from paring.settings.options import OptionError
from paring.subjects.choosing import exams_of, own_task, style_for
from paring.subjects.evaluation_folder import begin
from paring.subjects.opening import Subject, base_of, open_subject
from paring.subjects.served_answers import SERVED, answering
from paring.tasks.base import Task
from paring.verifier import Verifier

SUBJECT, OTHER = "items", "other-items"


def evaluate(
    subject: str | Path,
    task: str | Task | None = None,
    *,
    limit: int | None = None,
    samples: int = 1,
    temperature: float = 0.0,
    top_p: float = 1.0,
    top_k: int = 0,
    min_p: float = 0.0,
    stop: Sequence[str] = (),
    max_new_tokens: int | None = None,
    seed: int = 0,
    system: str | None = None,
    template_arguments: Mapping[str, bool | int | float | str] | None = None,
    task_settings: Mapping[str, object] | None = None,
    data: str | Path | None = None,
    style: str | None = None,
    shots: int | None = None,
    broken: str = "mend",
    long: str = "stop",
    rows: int = 32,
    checkpoint: str | None = None,
    server: Sequence[str] = (),
    out: str | Path | None = None,
    screen: Screen | None = None,
) -> Evaluation:
    """Measure a run, model or adapter on the test problems of a task or benchmark, as `paring eval` does: the options
    are the same, see Request. The task is a name or an object of your own; None: the one that the run trained on.

    Greedy by default; for `samples` > 1 give a temperature. With a folder `out` every answer is kept, and the same call
    goes on where it was stopped, or adds answers or tasks. Progress is shown on `screen`, by default standard error.
    Raises as `evaluate_on` does, and KeyboardInterrupt, after the chunk in hand, where it was interrupted."""
    name = task if isinstance(task, str) or task is None else task.name
    request = request_of(
        subject=str(subject),
        tasks=() if name is None else (name,),
        task_settings=dict(task_settings or {}),
        limit=limit,
        samples=samples,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        min_p=min_p,
        stop=tuple(stop),
        max_new_tokens=max_new_tokens,
        system=system,
        template_arguments=dict(template_arguments or {}),
        style=style,
        shots=shots,
        broken=broken,
        long=long,
        data=None if data is None else str(data),
        seed=seed,
        rows=rows,
        checkpoint=checkpoint,
        server=tuple(server),
    )
    own = None if isinstance(task, str) else task
    results = evaluate_on(request, out, task=own, screen=screen).results
    if results is None:
        raise KeyboardInterrupt
    return results.tasks[0].evaluation


@dataclass(frozen=True)
class Evaluated:
    """The results, or None where the evaluation was interrupted; then `exit_code` is the shell's word for it."""

    results: Results | None
    files: list[Path]
    exit_code: int = 0


def evaluate_on(
    request: Request,
    out: str | Path | None = None,
    *,
    task: Task | None = None,
    screen: Screen | None = None,
    engine_of: Callable[[Policy, int], Engine] = LocalEngine,
) -> Evaluated:
    """Answer every task of the request, or the object `task`, by the subject and by the other. With a folder `out`
    everything is kept there, item by item, and the same call goes on where it was stopped, to the same items; one for
    more answers or more tasks adds those. Without, nothing is left on disk.

    Raises ValueError or FileNotFoundError, before any answer, for what is wrong with tasks, data, models or folder;
    NotFinite for a model whose probabilities are no numbers."""
    place = TemporaryDirectory() if out is None else nullcontext(str(Path(out).expanduser()))
    with Verifier() as verifier, place as name:
        screen, folder = screen or Screen(sys.stderr), Path(name)
        subject = _opened(request.subject, request, request.checkpoint)
        exams, notes = _exams(request, task, subject, verifier)
        subject = _decoding(subject)
        base, other = subject.base, None
        if request.compare is not None:
            second, exams = _other(request, exams)
            other = second.identity()
            del second  # two large models may not fit beside each other
        begin(folder, request, {exam.name: exam.identity() for exam in exams}, subject.identity(), other)
        with run_lock(folder), Interruption("the problems in hand") as interruption:
            answered = partial(answer, exams=exams, request=request, screen=screen, interruption=interruption)
            with answering(subject, exams, request, folder, screen, engine_of) as engine:
                first, second = answered(engine, folder=folder / SUBJECT, title=request.subject), []
            if first is not None and request.compare is not None:
                del subject, engine
                other_subject = _other(request, exams)[0]
                with answering(other_subject, exams, request, folder, screen, engine_of) as engine:
                    second = answered(engine, folder=folder / OTHER, title=request.compare)
            if first is None or second is None:
                return Evaluated(None, [], interruption.exit_code)
            notes = [*notes, *([SERVED] if request.server else [])]
            results = Results(request, base, task_results(exams, first, second), notes, versions())
            return Evaluated(results, [] if out is None else write_outputs(folder, results))


def _exams(request: Request, task: Task | None, subject: Subject, verifier: Verifier) -> tuple[list[Exam], list[str]]:
    """The exams of the subject, and notes on them for the results."""
    style, notes = style_for(request, subject.run)
    own = [] if task is None else [exam_of(task, limit=request.limit, system=request.system)]
    exams = own or exams_of(request, subject.run, style, verifier)
    fitted = [_fitted(exam, request, subject) for exam in exams]
    return fitted, notes if any(exam.benchmark for exam in exams) else []


def _fitted(exam: Exam, request: Request, subject: Subject) -> Exam:
    """A run answers its own tasks as it trained: up to its longest answer, or to one of its stop strings."""
    longest, run = request.max_new_tokens or exam.longest, subject.run
    stop, keep_stop = request.stop, exam.keep_stop
    if run is not None and own_task(run, exam.name) is not None:
        longest = longest or run.rollout.max_new_tokens
        if not (stop or exam.stop):
            stop, keep_stop = run.rollout.stop, run.rollout.keep_stop
    exam = replace(exam, stop=tuple(dict.fromkeys((*exam.stop, *stop))), keep_stop=keep_stop)
    return exam.fitted(subject.policy, longest, request.long)


def _opened(name: str, request: Request, checkpoint: str | None = None) -> Subject:
    """The subject with the template arguments that are asked for. Raises ValueError."""
    arguments = request.template_arguments
    model = base_of(name)
    if request.style == lm_eval.STYLE:
        subject = open_subject(name, model, checkpoint)
        set_verbatim(subject.policy.tokenizer)
        return subject
    if not arguments:
        return open_subject(name, model, checkpoint)
    try:
        model = replace(model, template_arguments={**model.template_arguments, **arguments})
        return open_subject(name, model, checkpoint)
    except ValueError as error:
        words = str(error)
        raise OptionError(
            lambda option: words.replace("model.template_arguments", option("template_arguments"))
        ) from error


def _decoding(subject: Subject) -> Subject:
    """The subject, decoding in the way that serves it. Raises ValueError."""
    return replace(subject, policy=check_decodes(subject.policy))


def _other(request: Request, exams: Sequence[Exam]) -> tuple[Subject, list[Exam]]:
    """The other model, and the exams whose problems its context holds too. Raises ValueError."""
    other = _decoding(_opened(str(request.compare), request))
    fitted = [exam.fitted(other.policy, exam.max_new_tokens, request.long) for exam in exams]
    if short := [exam.name for exam in fitted if len(exam.problems) < 2]:
        raise ValueError(f"{short[0]}: a comparison needs two problems at least")
    return other, fitted
