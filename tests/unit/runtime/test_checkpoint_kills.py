"""A kill before any file event of a save: afterwards the old or the new checkpoint is found, never an error."""

import itertools
import os
import shutil
import sys

import pytest
import torch

from paring.runtime.checkpoint import load_newest, save
from paring.runtime.files import remove_staging

AUDITED = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "shutil.rmtree"}


def save_version(folder, step, version, *, keep=2):
    tensors = {
        "adapter": {"a": torch.full((8,), float(version), dtype=torch.bfloat16)},
        "optimiser": {"moment": torch.full((8,), float(version))},
    }
    save(folder, step, tensors, {"version": version}, keep=keep)


def copy_at_events(folder, copies, *, torn):
    """Copy the folder right before every file event of this process; `torn` halves all unfinished files of a copy.

    A kill, unlike a power cut, loses nothing that was written: a copy is what a kill at that event leaves behind.
    """
    count = itertools.count(1)
    copying = False

    def event(*_):
        nonlocal copying
        if copying:
            return
        copying = True
        copy = shutil.copytree(folder, copies / str(next(count)))
        for staging in copy.glob(".*.staging-*") if torn else ():
            for path in staging.iterdir():
                os.truncate(path, path.stat().st_size // 2)
        copying = False

    os.fsync = event
    sys.addaudithook(lambda name, _: event() if name in AUDITED else None)


def content(folder):
    found, damages = load_newest(folder)
    assert damages == []
    if found is None:
        return None
    version = found.state["version"]
    assert torch.equal(found.tensors["adapter"]["a"], torch.full((8,), float(version), dtype=torch.bfloat16))
    assert torch.equal(found.tensors["optimiser"]["moment"], torch.full((8,), float(version)))
    return found.step, version


@pytest.mark.parametrize(
    "before, step, old, torn",
    [
        pytest.param([], 10, None, False, id="the first"),
        pytest.param([10], 20, (10, 10), True, id="the second, with torn files"),
        pytest.param([10, 20], 30, (20, 20), False, id="with one to remove"),
        pytest.param([10], 10, (10, 10), True, id="the only one again, with torn files"),
    ],
)
def test_old_or_new_after_a_kill_at_any_event(tmp_path, exit_code_of_child, before, step, old, torn):
    saved, copies = tmp_path / "saved", tmp_path / "copies"
    saved.mkdir()
    copies.mkdir()
    for done in before:
        save_version(saved, done, done)

    def save_and_copy():
        copy_at_events(saved, copies, torn=torn)
        save_version(saved, step, 99)

    assert exit_code_of_child(save_and_copy) == 0
    outcomes = []
    for folder in [*sorted(copies.iterdir(), key=lambda copy: int(copy.name)), saved]:
        outcomes.append(content(folder))
        remove_staging(folder)
        assert content(folder) == outcomes[-1]
        assert not [name for name in os.listdir(folder) if name.startswith(".")]
        save_version(folder, 40, 40)
        assert content(folder) == (40, 40)
    assert len(outcomes) > 15
    new = (step, 99)
    first_new = outcomes.index(new)
    assert outcomes == [old] * first_new + [new] * (len(outcomes) - first_new)
    assert first_new > 10
