"""`paring eval`: open the subject, ask, put on record, sum up; the same for the other it is compared with."""

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from paring.adapters.attach import parameters_by_name
from paring.evaluation.answering import answer
from paring.evaluation.asked import Asked
from paring.evaluation.exams import Exam, exams, sampling_for, style_for
from paring.evaluation.outputs import write_outputs
from paring.evaluation.results import Results, results
from paring.policy.model import Policy
from paring.rollout.engine import Engine, Sampling
from paring.rollout.local import LocalEngine
from paring.runtime.files import write_durably
from paring.runtime.interruption import Interruption
from paring.runtime.lock import run_lock
from paring.runtime.machine import versions
from paring.runtime.screen import Screen
from paring.subjects.opening import Subject, open_subject
from paring.verifier import Verifier

ASKED = "evaluation.json"
SUBJECT, OTHER = "items", "other-items"


@dataclass(frozen=True)
class Outcome:
    """The results, or None where the evaluation was interrupted; then `exit_code` is the shell's word for it."""

    results: Results | None
    files: list[Path]
    exit_code: int = 0


def evaluate_on(
    asked: Asked,
    out: str | Path | None = None,
    *,
    screen: Screen | None = None,
    engine_of: Callable[[Policy, int], Engine] = LocalEngine,
) -> Outcome:
    """Answer every task as asked, by the subject and by the other. With a folder `out` everything is kept there, item
    by item, and the same call goes on where it was stopped, to the same items. Without, nothing is left on disk.

    Raises ValueError or FileNotFoundError, before any answer, for what is wrong with tasks, data, models or folder;
    NotFinite for a model whose probabilities are no numbers."""
    with Verifier() as verifier, _place(out) as name:
        subject = open_subject(asked.subject)
        prepared, base = _prepared(asked, subject, verifier), subject.base
        folder = Path(name)
        _begin(folder, prepared.record)
        with run_lock(folder), Interruption() as interruption:
            ask = partial(
                answer,
                exams=prepared.exams,
                samplings=prepared.samplings,
                asked=asked,
                screen=screen or Screen(sys.stderr),
                interruption=interruption,
            )
            answers, other = (
                ask(engine_of(subject.policy, asked.rows), folder=folder / SUBJECT, who=asked.subject),
                None,
            )
            if answers is not None and asked.compare is not None:
                del subject  # two large models may not fit beside each other
                second = _fitting(asked, prepared.exams, prepared.samplings)
                other = ask(engine_of(second.policy, asked.rows), folder=folder / OTHER, who=asked.compare)
            if interruption.requested:
                return Outcome(None, [], interruption.exit_code)
            about = {exam.name: exam.about() for exam in prepared.exams}
            found = results(asked, base, about, answers, other, notes=prepared.notes, versions=versions())
            return Outcome(found, [] if out is None else write_outputs(folder, found))


@dataclass(frozen=True)
class Prepared:
    """What is asked of both models, what is to be said of it, and what must be the same for an evaluation to go on."""

    exams: list[Exam]
    samplings: dict[str, Sampling]
    notes: list[str]
    record: dict[str, Any]


def _prepared(asked: Asked, subject: Subject, verifier: Verifier) -> Prepared:
    style, notes = style_for(asked, subject.run)
    chosen = exams(asked, subject.run, style, verifier)
    samplings = {exam.name: sampling_for(exam, asked, subject.run, subject.policy) for exam in chosen}
    record = {"asked": asked.as_plain() | {"data": None}, "tasks": _of_tasks(chosen, samplings)}
    record["subject"] = _identity(subject)
    if asked.compare is not None:
        record["other"] = _identity(_fitting(asked, chosen, samplings))
    return Prepared(chosen, samplings, notes if any(exam.benchmark for exam in chosen) else [], record)


def _place(out: str | Path | None) -> AbstractContextManager[str | Path]:
    """The folder to keep everything in, or one that is gone afterwards."""
    return TemporaryDirectory() if out is None else nullcontext(Path(out).expanduser())


def _fitting(asked: Asked, chosen: list[Exam], samplings: dict[str, Sampling]) -> Subject:
    """The other model, whose context must hold the same prompts and answers. Raises ValueError."""
    other = open_subject(str(asked.compare))
    for exam in chosen:
        same_length = replace(asked, max_new_tokens=samplings[exam.name].max_new_tokens)
        sampling_for(exam, same_length, None, other.policy)
    return other


def _of_tasks(chosen: list[Exam], samplings: dict[str, Sampling]) -> dict[str, Any]:
    """What must be the same of each task for an evaluation to go on."""
    return {
        exam.name: {
            "problems": len(exam.problems),
            "digest": exam.digest,
            "max_new_tokens": samplings[exam.name].max_new_tokens,
        }
        for exam in chosen
    }


def _identity(subject: Subject) -> dict[str, str]:
    """The base by name, and the adapters by their numbers: a run that goes on training is no longer the same."""
    digest = blake2b(digest_size=8)
    for name, parameter in sorted(parameters_by_name(subject.policy.adapters).items()):
        digest.update(name.encode())
        digest.update(parameter.detach().float().cpu().numpy().tobytes())
    return {"base": subject.base, "adapters": digest.hexdigest()}


def _begin(folder: Path, record: dict[str, Any]) -> None:
    """Make the folder, or see that it holds this very evaluation. Raises ValueError otherwise."""
    file = folder / ASKED
    try:
        if not file.is_file():
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise ValueError(f"{folder} holds something else: choose another folder with --out")
            folder.mkdir(parents=True, exist_ok=True)
            write_durably(file, (json.dumps(record, indent=2) + "\n").encode())
            return
        held = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{folder} cannot be written: {error.strerror}. Choose another with --out") from error
    if held != record:
        changed = "; ".join(_differences(held, record))
        raise ValueError(f"{folder} holds an evaluation that was asked otherwise ({changed}): choose another --out")


def _differences(held: Any, now: Any, name: str = "") -> list[str]:
    if not (isinstance(held, dict) and isinstance(now, dict)):
        return [] if held == now else [f"{name}: {held!r} -> {now!r}"]
    keys = sorted(held.keys() | now.keys())
    return [line for key in keys for line in _differences(held.get(key), now.get(key), f"{name}.{key}".strip("."))]
