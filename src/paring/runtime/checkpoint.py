"""Checkpoints: complete or invisible, checked byte by byte when read, and never a pickle among them.

step-000010/
    <stem>.safetensors ...    the tensors, one file a stem
    state.json                everything else, strict JSON
    manifest.json             format, step, and the size in bytes and SHA-256 of every other file
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save_file
from torch import Tensor

from paring.runtime.files import staged_folder, standing, sync
from paring.runtime.kept import newest_first, rotate, step_name
from paring.runtime.manifest import Unusable, checked_names, json_bytes, manifest_of, read_json
from paring.settings.declare import Count, CountOrZero, settings


@settings
class Save:
    """The `save` section: a checkpoint every so many steps, and one at the end or when interrupted; and what is kept of
    the answers."""

    every: CountOrZero = 25
    """0: only at the end."""
    keep: Annotated[int, Field(ge=2, description="one must be left if the other is damaged")] = 2
    samples_every: Count = 1
    """The answers of every so many steps are kept, and those of the first."""
    compress: bool = False
    """The answers are kept in samples.jsonl.gz in the place of samples.jsonl: 3 % of its size in the quickstart."""
    best: Literal["off", "validation"] = "off"
    """`validation`: the checkpoint that does best there is kept beside the newest, and saved where it is found; needs
    `evaluate.every`."""


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
    target = folder / step_name(step)
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


def load_step(folder: Path, step: int) -> Checkpoint:
    """The checkpoint of a step. Raises ValueError where there is none, or it is damaged."""
    there = dict(newest_first(folder))
    if step not in there:
        known = ", ".join(str(one) for one in sorted(there)) or "none"
        raise ValueError(f"{folder} holds no checkpoint of step {step}: there are {known}")
    try:
        return _read(there[step], step)
    except Unusable as why:
        raise ValueError(f"{there[step]}: damaged ({why}): choose another checkpoint") from why


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
