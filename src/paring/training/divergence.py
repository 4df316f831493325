"""The words for a run that stops because its numbers are not finite: where it was healthy, and the likely cause."""

from paring.runtime.folder import RunFolder
from paring.runtime.kept import newest_first
from paring.training.collapse import likely_causes
from paring.training.config import AnyRun
from paring.training.progress import Progress


def divergence(what: str, run: AnyRun, folder: RunFolder, progress: Progress) -> str:
    """`what` says which numbers, and after which step."""
    # The update after which everything became infinite was itself healthy: only steps before it are beyond doubt.
    last_finite = progress.step - progress.dropped_in_a_row
    saved = newest_first(folder.checkpoints)
    healthy = next((path for step, path in saved if step < last_finite), None)
    named = f"the last healthy checkpoint is {healthy}" if healthy else "there is no healthy checkpoint"
    adam = run.optimiser
    if adam.lr * adam.weight_decay >= 1:
        causes = [f"optimiser.weight_decay ({adam.weight_decay:g}) takes away a whole weight in a step: lower it"]
    else:
        causes = likely_causes(progress.watch, {"learning_rate": adam.lr})
    return (
        f"{what}; {named}. The same recipe would come to the same end. Likely cause: {'; '.join(causes)}. Change it, "
        "or raise optimiser.warmup, and begin a new run"
    )
