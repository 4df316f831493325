"""Checkpoints: complete or invisible, checked byte by byte when read, and never a pickle among them.

step-000010/
    <stem>.safetensors ...    the tensors, one file a stem
    state.json                everything else, strict JSON
    manifest.json             format, step, and the size in bytes and SHA-256 of every other file
"""

import os
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save_file
from torch import Tensor

from paring.runtime.files import remove_folder, staged_folder, standing, sync
from paring.runtime.manifest import Unusable, checked_names, json_bytes, manifest_of, read_json
from paring.settings.declare import CountOrZero, settings

_FOLDER = re.compile(r"(?P<hidden>\.)?(?P<name>step-(?P<step>[0-9]{1,18}))(?(hidden)\.replaced)")


@settings
class Save:
    """The `save` section: a checkpoint every so many steps, and one at the end or when interrupted."""

    every: CountOrZero = 25
    """0: only at the end."""
    keep: Annotated[int, Field(ge=2, description="one must be left if the other is damaged")] = 2


@dataclass(frozen=True)
class Checkpoint:
    """A saved checkpoint: tensors by file stem and name, on the CPU, and the state that is not tensors."""

    path: Path
    step: int
    tensors: dict[str, dict[str, Tensor]]
    state: dict[str, Any]


@dataclass(frozen=True)
class Damage:
    """A checkpoint that was passed over, and why."""

    path: Path
    why: str


class DamagedCheckpoints(ValueError):
    """There are checkpoints, but none can be used: the user decides, we never start again from zero unasked."""

    def __init__(self, folder: Path, damages: list[Damage]):
        self.damages = damages
        reasons = "".join(f"\n  {damage.path.name}: {damage.why}" for damage in damages)
        super().__init__(
            f"{folder}: all {len(damages)} checkpoints are damaged:{reasons}\n"
            "Put an intact copy back, or begin a new run with --out."
        )


class CheckpointNotSaved(OSError):
    """The disk refused a checkpoint; the earlier ones are untouched."""


def save(
    folder: Path, step: int, tensors: dict[str, dict[str, Tensor]], state: Mapping[str, object], *, keep: int
) -> Path:
    """Write `folder`/step-000010 durably, then remove all but the newest `keep` complete checkpoints up to `step`.

    tensors: file stem -> name -> tensor of any shape, type and device; its bytes come back exactly.
    Raises ValueError if `keep` < 2 or a number in `state` is not finite, CheckpointNotSaved if the disk refuses.
    """
    if keep < 2:
        raise ValueError(f"keep={keep}: keep at least 2 checkpoints, so that one is left if the other is damaged")
    assert step >= 0, step
    state_bytes = json_bytes(state)
    target = folder / _name(step)
    try:
        if not folder.exists():
            folder.mkdir()
            sync(folder.parent)
        with staged_folder(target) as staging:
            for stem, named in tensors.items():
                _write_tensors(staging / f"{stem}.safetensors", named)
            (staging / "state.json").write_bytes(state_bytes)
            (staging / "manifest.json").write_bytes(manifest_of(staging, step))
    except (OSError, SafetensorError) as error:
        needed = sum(tensor.nbytes for named in tensors.values() for tensor in named.values()) + len(state_bytes)
        free = shutil.disk_usage(next(path for path in target.absolute().parents if path.exists())).free
        raise CheckpointNotSaved(
            f"{target} was not saved: {error}. It needs {needed} bytes and {free} are free there; "
            "earlier checkpoints are untouched, and the run resumes from the newest of them."
        ) from error
    rotate(folder, step, keep)
    return target


def load_newest(folder: Path) -> tuple[Checkpoint | None, list[Damage]]:
    """The complete checkpoint with the highest step, and the damaged ones above it; (None, []) if there are none.

    Reads only, so a living run is not disturbed. Raises DamagedCheckpoints if there are some and all are damaged.
    """
    damages = []
    for step, target in newest_first(folder):
        try:
            return _read(target, step), damages
        except Unusable as why:
            damages.append(Damage(target, str(why)))
    if damages:
        raise DamagedCheckpoints(folder, damages)
    return None, []


def put_aside(path: Path) -> Path:
    """Move a damaged checkpoint into checkpoints/damaged, where it is no checkpoint any more; where it is now."""
    aside = path.parent / "damaged"
    aside.mkdir(exist_ok=True)
    name = path.name.lstrip(".")
    names = (name if number == 1 else f"{name}-{number}" for number in count(1))
    target = next(aside / one for one in names if not (aside / one).exists())
    os.rename(path, target)
    sync(aside)
    sync(path.parent)
    return target


def _name(step: int) -> str:
    return f"step-{step:06d}"


def newest_first(folder: Path) -> Iterator[tuple[int, Path]]:
    """(step, path) by step, whatever the clock says; of two spellings of a step ours comes first."""
    matches = [_FOLDER.fullmatch(entry.name) for entry in folder.iterdir()] if folder.exists() else []
    found = {(int(match["step"]), match["name"]) for match in matches if match}
    for step, name in sorted(found, key=lambda pair: (pair[0], pair[1] == _name(pair[0]), pair[1]), reverse=True):
        yield step, folder / name


def rotate(folder: Path, step: int, keep: int) -> None:
    """Remove all but the newest `keep` complete checkpoints up to `step`.

    Complete means the same here as in reading, hashes included: a damaged checkpoint must not push out a sound one.

    Those above `step`, left by a run that went further, do not count: they must not push out what was just saved.
    """
    complete = 0
    for found, target in newest_first(folder):
        if found > step:
            continue
        path = standing(target)
        if complete < keep:
            with suppress(Unusable):
                checked_names(path, found)
                complete += 1
            continue
        try:
            remove_folder(path)
        except OSError as error:
            warnings.warn(f"the old checkpoint {path} could not be removed: {error}", stacklevel=3)


def _write_tensors(path: Path, named: dict[str, Tensor]) -> None:
    # A copy each: safetensors refuses tensors that share memory, and tied or sliced tensors are the caller's right.
    copies = {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in named.items()
    }
    path.touch()
    mode = path.stat().st_mode  # of a file that we made, so it follows the umask; safetensors leaves 0600
    save_file(copies, path)
    path.chmod(mode)


def _read(target: Path, step: int) -> Checkpoint:
    folder = standing(target)
    names = checked_names(folder, step)
    state = read_json(folder / "state.json")
    if not isinstance(state, dict):
        raise Unusable(f"state.json holds {type(state).__name__} where an object is expected")
    tensors = {}
    for name in names:
        if name.endswith(".safetensors"):
            try:
                tensors[name.removesuffix(".safetensors")] = tensors_from_bytes((folder / name).read_bytes())
            except (OSError, SafetensorError) as error:
                raise Unusable(f"{name} cannot be read: {error}") from error
    return Checkpoint(folder, step, tensors, state)
