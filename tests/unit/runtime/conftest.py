"""A forked child to be killed, limited or locked out without harm to the test run; a folder of small checkpoints."""

import os
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from paring.runtime.checkpoint import save


def _run_in_child(act: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        try:
            act()
            os._exit(0)
        except BaseException:
            os.write(2, traceback.format_exc().encode())
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


@pytest.fixture
def exit_code_of_child() -> Callable[[Callable[[], object]], int]:
    """Runs a function in a forked child: 0 if it returned, 1 if it raised, minus the signal that killed it."""
    return _run_in_child


class SmallCheckpoints:
    """Checkpoints that hold their step, in one folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def save(self, step: int, *, keep: int = 9) -> Path:
        return save(self.folder, step, {"adapter": {"a": torch.full((4, 4), float(step))}}, {"seed": step}, keep=keep)

    def steps(self) -> list[int]:
        return sorted(int(name.removeprefix("step-")) for name in os.listdir(self.folder))


@pytest.fixture
def checkpoints(tmp_path: Path) -> SmallCheckpoints:
    """Saves into tmp_path itself."""
    return SmallCheckpoints(tmp_path)
