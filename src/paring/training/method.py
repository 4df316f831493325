"""The loop that a run asks for: reinforcement learning or supervised fine-tuning."""

from pathlib import Path

from paring.runtime.folder import RunFolder, free_folder
from paring.runtime.screen import Screen
from paring.training import rl, setup, sft, sft_setup
from paring.training.config import AnyRun, Run
from paring.training.loop import ended_already
from paring.training.result import Result


def train(run: AnyRun, out: str | Path | None = None, *, resume: bool = False, screen: Screen | None = None) -> Result:
    """Post-train a model as the run says, and write everything to the folder `out`, by default a new one in runs/.

    `resume` goes on with the run that `out` holds, to the same bytes as if it had never been interrupted. Ctrl-C and
    SIGTERM end the run after the step in hand, saved; a second one ends it at once.
    Raises ValueError, before any work is done, for what is wrong with recipe, data, model or folder; RunFailed when
    numbers are not finite several steps in a row; OSError where the disk refuses a checkpoint."""
    name = run.task.name if isinstance(run, Run) else f"sft-{run.data.name}"
    folder, screen = RunFolder(free_folder(name) if out is None else Path(out)), screen or Screen()
    if ended := ended_already(run, folder, resume=resume, screen=screen):
        return ended
    if isinstance(run, Run):
        return rl.train(run, folder, resume=resume, screen=screen)
    return sft.train(run, folder, resume=resume, screen=screen)


def preview(run: AnyRun) -> str:
    """What a run would do, with everything checked and nothing written. Raises as the training would."""
    return setup.preview(run) if isinstance(run, Run) else sft_setup.preview(run)
