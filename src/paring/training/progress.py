"""How far a run is: what a checkpoint holds, and going on from one."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from paring.adapters.attach import ranks_of, set_ranks
from paring.config import AnyRun, Run, differences, load_run
from paring.evaluation.items import Item
from paring.evaluation.measuring import Evaluation
from paring.runtime import checkpoint
from paring.runtime.files import remove_staging
from paring.runtime.folder import RunFolder
from paring.runtime.journal import Journal
from paring.runtime.machine import versions
from paring.runtime.screen import Screen
from paring.settings.complaints import RunFailed
from paring.training.collapse import Watch
from paring.training.optim import Optimiser
from paring.training.setup import Setup
from paring.training.sft_setup import SftSetup
from paring.training.update import Update

EXAMPLES = 20
MOST_DROPS_IN_A_ROW = 3
AnySetup = Setup | SftSetup


@dataclass(frozen=True)
class Examined:
    """An evaluation and the first of its answers, if it has any, as plain values."""

    evaluation: dict[str, Any]
    examples: list[dict[str, Any]]

    @classmethod
    def of(cls, evaluation: Evaluation, items: Sequence[Item]) -> "Examined":
        examples = [
            {
                "problem": item.problem,
                "question": item.question,
                "gold": item.gold,
                "answer": item.answers[0].text,
                "correct": item.answers[0].correct,
            }
            for item in items[:EXAMPLES]
        ]
        return cls(evaluation.as_plain(), examples)


@dataclass
class Progress:
    """What a checkpoint holds beside tensors. There is no generator state: noise is a function of the step."""

    step: int = 0
    updates: int = 0
    dropped: int = 0
    dropped_in_a_row: int = 0
    seconds: float = 0.0
    watch: Watch = field(default_factory=Watch)
    before: Examined | None = field(default=None)

    def count(self, update: Update, seconds: float) -> None:
        """A step has been made."""
        self.step += 1
        self.updates += update.applied
        self.dropped += update.dropped
        self.dropped_in_a_row = self.dropped_in_a_row + 1 if update.dropped else 0
        self.seconds += seconds


def save(
    folder: RunFolder, setup: AnySetup, optimiser: Optimiser, progress: Progress, journal: Journal, *, keep: int
) -> None:
    """Save a checkpoint, after the journal is on the disk, so that no saved step lacks its record."""
    journal.sync()
    tensors = setup.tensors() | {"optimiser": optimiser.state()}
    ranks = ranks_of(setup.policy.adapters)
    held = {"progress": asdict(progress), "ranks": ranks, "versions": versions(), "threads": torch.get_num_threads()}
    checkpoint.save(folder.checkpoints, progress.step, tensors, held, keep=keep)


def restore(folder: RunFolder, setup: AnySetup, optimiser: Optimiser, journal: Journal, screen: Screen) -> Progress:
    """Go on from the newest complete checkpoint, or from step 0 if the run was ended before its first.

    The journal is cut back to it. Damaged newer checkpoints are named and passed over; if all are damaged,
    DamagedCheckpoints (a ValueError) is raised."""
    for place in filter(Path.is_dir, (folder.path, folder.checkpoints)):
        remove_staging(place)
    found, damages = checkpoint.load_newest(folder.checkpoints)
    for damage in damages:
        screen.note(f"passed over a damaged checkpoint: {damage.path}: {damage.why}")
    if found is None:
        journal.rewind(0)
        screen.note(f"{folder.path} has no checkpoint yet: starting from step 0")
        return Progress()
    # The ranks first: tensors and moments are of the shapes that the ranks had become.
    set_ranks(setup.policy.adapters, found.state["ranks"])
    setup.load_tensors(found.tensors)
    optimiser.load_state(found.tensors["optimiser"])
    journal.rewind(found.step)
    now = {"versions": versions(), "threads": torch.get_num_threads()}
    changed = [f"{name}: {found.state[name]} -> {value}" for name, value in now.items() if found.state[name] != value]
    if changed:
        screen.note("not the same machine, so the last bits may differ: " + "; ".join(changed))
    screen.note(f"resumed from {found.path}: {found.step} steps made")
    held = found.state["progress"]
    return Progress(**held | {"watch": Watch(**held["watch"]), "before": Examined(**held["before"])})


def check_same_run(folder: RunFolder, run: AnyRun) -> None:
    """Raises ValueError where the folder holds no run, or another than this one."""
    held = load_run(folder.existing_recipe())
    changed = differences(held, run)
    if changed:
        raise ValueError(
            f"--resume {folder.path}: the recipe is not the one the run began with:\n  "
            + "\n  ".join(changed)
            + f"\nResume it as it is (paring train --resume {folder.path}), or begin a new run with --out"
        )


def is_over(run: AnyRun, progress: Progress) -> bool:
    """All steps are made, or the run is to end where it collapses, and has."""
    stops = isinstance(run, Run) and run.collapse.stop
    return progress.step == run.steps or (stops and progress.watch.found is not None)


def save_is_due(run: AnyRun, progress: Progress) -> bool:
    """At the end and every so many steps, but not after a dropped one: its checkpoint would hold nothing new, and
    push out the last that is known to be healthy."""
    is_regular = run.save.every > 0 and progress.step % run.save.every == 0
    return is_over(run, progress) or (is_regular and not progress.dropped_in_a_row)


def stop_if_diverging(folder: RunFolder, progress: Progress) -> None:
    """Raises RunFailed after too many dropped steps in a row."""
    if progress.dropped_in_a_row == MOST_DROPS_IN_A_ROW:
        what = f"the loss or gradient was not finite in {MOST_DROPS_IN_A_ROW} steps in a row"
        raise RunFailed(diverged(folder, progress, f"{what}, the last of them step {progress.step}"))


def diverged(folder: RunFolder, progress: Progress, what: str) -> str:
    """What to say when a run stops because its numbers are not finite; `what` says which."""
    # The update after which everything became infinite was itself healthy: only steps before it are beyond doubt.
    last_finite = progress.step - progress.dropped_in_a_row
    healthy = [path for path in _saved(folder) if int(path.name.removeprefix("step-")) < last_finite]
    named = f"the last healthy checkpoint is {healthy[-1]}" if healthy else "there is no healthy checkpoint"
    return (
        f"{what}; {named}. The same recipe would come to the same end: lower optimiser.lr or raise optimiser.warmup, "
        "and begin a new run"
    )


def _saved(folder: RunFolder) -> list[Path]:
    return sorted(folder.checkpoints.glob("step-*"), key=lambda path: int(path.name.removeprefix("step-")))
