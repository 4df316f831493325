"""Kill -9 before every file event of a save: afterwards the old or the new checkpoint is found, never an error."""

import itertools
import os
import shutil
import signal
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


def die_at_event(number, *, torn):
    """Kill this process right before its file event of this number; `torn` halves all unfinished files first."""
    count = itertools.count(1)
    dying = False

    def event(*_):
        nonlocal dying
        if dying or next(count) < number:
            return
        dying = True
        if torn:
            for staging in torn.glob(".*.staging-*"):
                for path in staging.iterdir():
                    os.truncate(path, path.stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)

    fsync = os.fsync
    os.fsync = lambda descriptor: (event(), fsync(descriptor))
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
def test_old_or_new_after_a_kill_at_any_event(tmp_path, monkeypatch, exit_code_of_child, before, step, old, torn):
    # A kill, unlike a power cut, loses nothing that was written, so waiting for the disk would only cost time here.
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    start = tmp_path / "start"
    start.mkdir()
    for done in before:
        save_version(start, done, done)
    outcomes = []
    for number in itertools.count(1):
        folder = tmp_path / f"killed-{number}"
        shutil.copytree(start, folder)

        def save_and_die(folder=folder, number=number):
            die_at_event(number, torn=folder if torn else None)
            save_version(folder, step, 99)

        code = exit_code_of_child(save_and_die)
        outcomes.append(content(folder))
        remove_staging(folder)
        assert content(folder) == outcomes[-1]
        assert not [name for name in os.listdir(folder) if name.startswith(".")]
        save_version(folder, 40, 40)
        assert content(folder) == (40, 40)
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert number > 15
    new = (step, 99)
    first_new = outcomes.index(new)
    assert outcomes == [old] * first_new + [new] * (len(outcomes) - first_new)
    assert first_new > 10
