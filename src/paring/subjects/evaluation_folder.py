"""The folder of an evaluation: begun, gone on with, or extended by answers and tasks; another's is refused."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from paring.evaluation.request import Request
from paring.runtime.files import is_free, write_durably
from paring.settings.options import Naming, OptionError
from paring.settings.recipes import changes
from paring.types import Json

RECORD = "evaluation.json"
_FREE = ("tasks", "limit", "samples", "max_new_tokens", "data")
"""Parts of a request that may change: how many answers, which tasks; the record of each task says the rest."""


def begin(
    folder: Path,
    request: Request,
    tasks: Mapping[str, Mapping[str, Json]],
    subject: Mapping[str, str],
    other: Mapping[str, str] | None,
) -> None:
    """Make the folder, or see that it holds this very evaluation, perhaps with fewer answers or tasks. `tasks`: what
    identifies each, by name. Raises OptionError otherwise."""
    record = {
        "request": _on_record(request),
        "tasks": tasks,
        "subject": subject,
        "other": other,
    }
    file, text = folder / RECORD, json.dumps(record, indent=2, default=str) + "\n"
    try:
        if not file.is_file():
            if not is_free(folder):
                raise OptionError(
                    lambda name: f"{folder} holds something else: choose another folder with {name('out')}"
                )
            folder.mkdir(parents=True, exist_ok=True)
        else:
            _check(folder, _record(file), json.loads(text))
        write_durably(file, text.encode())
    except OSError as error:
        reason = error.strerror
        raise OptionError(
            lambda name: f"{folder} cannot be written: {reason}. Choose another with {name('out')}"
        ) from error


def _on_record(request: Request) -> dict[str, Json]:
    """Which servers answer does not matter, but whether servers do: they draw in another way."""
    return asdict(request) | {"data": None, "server": bool(request.server)}


def _check(folder: Path, held: dict[str, Json], now: dict[str, Json]) -> None:
    """Raises OptionError where the folder cannot become what is asked for now."""
    asked, answered = _section(now, "request"), _on_record(Request(subject="")) | _section(held, "request")
    old, new = (_without(request, _FREE) for request in (answered, asked))
    tasks, wanted = _section(held, "tasks"), _section(now, "tasks")
    if missing := sorted(tasks.keys() - wanted.keys()):
        raise OptionError(
            lambda name: f"{folder} holds {', '.join(missing)} too: name all of its tasks in {name('task')}"
        )
    samples, more = answered["samples"], asked["samples"]
    if isinstance(samples, int) and isinstance(more, int) and more < samples:
        raise OptionError(
            lambda name: (
                f"{folder} holds {samples} answers a problem, not {more}: ask for {name.given('samples', samples)} or "
                f"more, or choose another {name('out')}"
            )
        )
    held_as, now_as = ({**record, "request": None, "tasks": None} for record in (held, now))
    kept = {key: value for key, value in wanted.items() if key in tasks}
    others = [*changes({"tasks": tasks}, {"tasks": kept}), *changes(held_as, now_as)]
    if (settings := changes(old, new)) or others:
        raise OptionError(
            lambda name: (
                f"{folder} holds another evaluation ("
                + "; ".join([*(_named(one, name) for one in settings), *others])
                + f"): choose another {name('out')}"
            )
        )


def _named(change: str, name: Naming) -> str:
    key, colon, values = change.partition(":")
    return name(key) + colon + values


def _without(request: dict[str, Json], names: tuple[str, ...]) -> dict[str, Json]:
    return {key: value for key, value in json.loads(json.dumps(request, default=str)).items() if key not in names}


def _section(record: dict[str, Json], name: str) -> dict[str, Json]:
    section = record.get(name)
    if not isinstance(section, dict):
        raise OptionError(lambda option: f"{RECORD} is damaged: {name} is no object; choose another {option('out')}")
    return section


def _record(file: Path) -> dict[str, Json]:
    """The record of the evaluation that a folder holds. Raises OptionError where it is damaged."""
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(held, dict):
            raise ValueError("it holds no object")
    except (ValueError, RecursionError) as error:
        reason = str(error)
        raise OptionError(
            lambda name: f"{file}: damaged ({reason}): remove its folder, or choose another with {name('out')}"
        ) from error
    return held
