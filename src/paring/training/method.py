"""The loop that a run asks for: reinforcement learning or supervised fine-tuning."""

from pathlib import Path

from paring.config import AnyRun, Run
from paring.runtime.screen import Screen
from paring.training import rl, setup, sft, sft_setup
from paring.training.result import Result


def train(run: AnyRun, out: str | Path | None = None, *, resume: bool = False, screen: Screen | None = None) -> Result:
    """Post-train a model as the run says. See `rl.train` and `sft.train`, which raise alike."""
    loop = rl.train if isinstance(run, Run) else sft.train
    return loop(run, out, resume=resume, screen=screen)


def preview(run: AnyRun) -> str:
    """What a run would do, with everything checked and nothing written. Raises as the training would."""
    return setup.preview(run) if isinstance(run, Run) else sft_setup.preview(run)
