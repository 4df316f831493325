"""The inputs of a run, known again by their digests: its recipe, and each file or folder that the recipe names."""

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from shlex import quote

from paring.runtime.checkpoint import Save
from paring.runtime.files import write_durably
from paring.runtime.folder import RunFolder
from paring.runtime.journal import append_row
from paring.settings.complaints import RecipeError
from paring.settings.recipes import changes, flattened
from paring.training.config import AnyRun, Plain, as_plain, load_run, validate
from paring.types import Json

_WHOLE_BYTES = 1 << 26
"""A file up to this size is read whole. A larger one has the weights of a base: size, beginning and end are read."""
_END_BYTES = 1 << 20
_FREE = (
    "description",
    "steps: ",
    "save.",
    "rollout.servers: ",
    "rollout.servers_see: ",
    "rollout.patience: ",
    "parallel.",
)
"""Settings that may change unasked: none of them changes a step that is made. `steps` has a rule of its own; where
servers stand, and how many processes divide a base, is chosen anew each time that a cluster begins a job."""


def inputs_of(run: AnyRun) -> dict[str, Json]:
    """The recipe, and the digest of everything on disk that it names. JSON keeps it as it is."""
    plain = as_plain(run)
    digests: dict[str, Json] = {}
    for key, value in flattened(plain).items():
        for text in _values_in(value):
            if isinstance(text, str) and key != "description" and (path := _named(text)) is not None:
                digests[f"{key} ({text})"] = _digest(path)
    return {"recipe": json.loads(json.dumps(plain)), "files": digests}


def _values_in(value: object) -> Iterator[object]:
    """What stands in lists and sections, however deep."""
    if isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _values_in(one)
    else:
        yield value


def changed_inputs(folder: RunFolder, run: AnyRun, done: int) -> list[str]:
    """One line for each input that is not the one the run began with. Raises ValueError where it has fewer steps than
    the `done` ones, or the record is damaged."""
    if run.steps < done:
        raise ValueError(
            f"steps = {run.steps}: {folder.path} has made {done} already. Give steps={done} or more; "
            "or begin a new run with --out"
        )
    held, now = _held(folder), inputs_of(run)
    if held is None:
        begun = json.loads(json.dumps(as_plain(load_run(folder.existing_recipe()))))
        held = {"recipe": begun, "files": now["files"]}
    recipes = changes(_section(held, "recipe"), _section(now, "recipe"))
    old, new = _section(held, "files"), _section(now, "files")
    files = [f"{key}: its content has changed" for key in old.keys() & new.keys() if old[key] != new[key]]
    # A file named by a setting that has not changed, and which is gone or new.
    files += [f"{key}: it is gone" for key in old.keys() - new.keys() if _same_setting(key, held, now)]
    return [*(line for line in recipes if not line.startswith(_FREE)), *sorted(files)]


def refuse_changed(folder: RunFolder, changed: list[str]) -> None:
    """Raises ValueError that names what has changed, where anything has."""
    if changed:
        path = quote(str(folder.path))
        raise ValueError(
            f"--resume {folder.path}: not what the run began with:\n  "
            + "\n  ".join(changed)
            + f"\nResume it as it was (paring train --resume {path}), go on with the change, which is put on record in "
            f"{folder.changes.name} (--allow-changed), or begin a new run with --out"
        )


def settle(folder: RunFolder, run: AnyRun, recipe: str, step: int) -> None:
    """Make the inputs of now those of the run, from step `step` on; what has changed goes on record. Raises OSError."""
    held, now = _held(folder), inputs_of(run)
    if held == now:
        return
    if held is not None:
        changed = changes(_section(held, "recipe"), _section(now, "recipe"))
        old, new = _section(held, "files"), _section(now, "files")
        changed += changes({"files": old}, {"files": new})
        append_row(folder.changes, {"step": step, "changed": changed})
    if folder.recipe.read_bytes() != recipe.encode():
        write_durably(folder.recipe, recipe.encode())
    write_durably(folder.inputs, (json.dumps(now, indent=1) + "\n").encode())


def _held(folder: RunFolder) -> Plain | None:
    """The record; None for a run that was begun before there was one."""
    if not folder.inputs.is_file():
        return None
    try:
        held = json.loads(folder.inputs.read_text(encoding="utf-8"))
        _section(held, "files")
        held["recipe"] = _complete(_section(held, "recipe"))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(
            f"{folder.inputs}: damaged ({error}); remove it, and the inputs of now are taken for those of the run"
        ) from error
    return held


def _complete(recipe: Plain) -> Plain:
    """The recipe with the defaults of settings that it does not have: those that are newer than the run."""
    try:
        return json.loads(json.dumps(as_plain(validate(recipe, source="inputs"))))
    except RecipeError:
        return recipe


def _section(record: Mapping[str, object], name: str) -> dict[str, Json]:
    section = record[name]
    if not isinstance(section, dict):
        raise ValueError(f"{name} is no object")
    return section


def _same_setting(key: str, held: Plain, now: Plain) -> bool:
    setting = key.partition(" (")[0]
    return flattened(held["recipe"]).get(setting) == flattened(now["recipe"]).get(setting)


def _named(text: str) -> Path | None:
    """The file or folder that a setting names: `my.jsonl`, `my.py:reward`."""
    file, colon, _ = text.rpartition(":")
    for candidate in (text, file if colon and file.endswith(".py") else ""):
        try:
            path = Path(candidate).expanduser()
            # A word that happens to be the name of something here is no path: paths have a suffix or a slash.
            if candidate and (path.suffix or "/" in candidate) and path.exists():
                return path
        except (OSError, ValueError, RuntimeError):
            continue
    return None


def _digest(path: Path) -> str:
    if path.is_dir():
        parts = [f"{one.relative_to(path)} {_digest(one)}" for one in sorted(path.iterdir()) if one.is_file()]
        return sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
    size = path.stat().st_size
    found = sha256(str(size).encode())
    with open(path, "rb") as file:
        if size <= _WHOLE_BYTES:
            found.update(file.read())
        else:
            found.update(file.read(_END_BYTES))
            file.seek(size - _END_BYTES)
            found.update(file.read())
    return found.hexdigest()


def check_goes_on(begun: Save, now: Save) -> None:
    """Raises ValueError where the record of answers would change its form on the way."""
    for name in ("samples_every", "compress"):
        if (old := getattr(begun, name)) != getattr(now, name):
            raise ValueError(f"save.{name}: the run keeps its answers as it began: leave it at {str(old).lower()}")
