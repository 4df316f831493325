"""The shell of the loops: how an error leaves it, what it names, and that it lets the folder go."""

import io

import pytest

from paring.runtime.folder import RunFolder
from paring.runtime.lock import run_lock
from paring.runtime.screen import Screen
from paring.settings.complaints import NotFinite, RunFailed
from paring.training.loop import Loop
from paring.training.progress import Examined

CHECKPOINTS = ("step-000001", "step-000002", "step-000003", "step-000002-backup", ".step-000001.staging-1")


class Watched(Screen):
    """A screen that notes whether it was finished."""

    finished = False

    def finish(self):
        self.finished = True


def fail(run, folder, screen, *, measured):
    """A run whose numbers are not finite: after step 3, or while its base is measured."""
    with Loop.opened(run, folder, None, resume=False, screen=screen) as loop:
        if measured:
            loop.begin("a run", "problems", lambda: Examined({}))
            for name in CHECKPOINTS:
                (folder.checkpoints / name).mkdir(parents=True)
            loop.progress.step = 3
        raise NotFinite("the probabilities are not finite")


@pytest.mark.parametrize("measured", [True, False])
def test_numbers_that_are_not_finite_end_the_run(small_run, tmp_path, measured):
    """After a step with the last checkpoint that is beyond doubt; a base that is not finite is no divergence."""
    folder, screen = RunFolder(tmp_path / "run"), Watched(io.StringIO())
    with pytest.raises(RunFailed) as error:
        fail(small_run(), folder, screen, measured=measured)
    healthy = f" after step 3; the last healthy checkpoint is {folder.checkpoints / 'step-000002'}. The same recipe"
    assert str(error.value).startswith("the probabilities are not finite" + (healthy if measured else ""))
    assert isinstance(error.value, NotFinite) != measured
    assert screen.finished
    with run_lock(folder.path):
        pass
