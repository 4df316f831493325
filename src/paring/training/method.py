"""The loop that a run asks for: reinforcement learning or supervised fine-tuning."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from paring.policy.chat import prompt_tokens
from paring.policy.loading import resolved
from paring.runtime.faults import RowFault, faults_in_words
from paring.runtime.files import remove_folder
from paring.runtime.folder import RunFolder, check_free, free_folder
from paring.runtime.screen import Screen
from paring.runtime.text import one_line, visible
from paring.settings.complaints import reason_of
from paring.tracking.listeners import OnStep
from paring.tracking.trackers import check_trackers
from paring.training import rl, setup, sft, sft_setup
from paring.training.config import AnyRun, Run, as_plain, to_toml, validate
from paring.training.draws import items_of_step
from paring.training.policy_of_run import in_words
from paring.training.progress import resumed
from paring.training.result import Result, Values
from paring.training.shares import check_shard
from paring.training.showing import BEGIN, END, marked, quoted
from paring.training.world import World
from paring.types import Json

LONGEST_FAULT = 200


def train(
    run: AnyRun,
    out: str | Path | None = None,
    *,
    resume: bool = False,
    allow_changed: bool = False,
    screen: Screen | None = None,
    on_step: OnStep | None = None,
) -> Result:
    """Post-train a model as the run says, and write everything to the folder `out`, by default a new one in runs/.

    `resume` goes on with the run that `out` holds, to the same bytes as if it had never been interrupted; with other
    inputs than it began with only where that is allowed (`allow_changed`). More `steps` make it longer. Ctrl-C, SIGTERM
    and SIGHUP end the run at the next boundary, saved; a second one ends it at once (docs/reliability.md). `on_step` is
    called after each step with its metrics (docs/metrics.md); what it raises ends the run. Under torchrun all processes
    train together, and the first alone writes, shows and calls (docs/processes.md).
    Raises ValueError, before any work is done, for what is wrong with recipe, data, model or folder; RunFailed when
    numbers are not finite several steps in a row; OSError where the disk refuses a checkpoint."""
    name = run.task.name if isinstance(run, Run) else f"sft-{run.data.name}"
    with World.opened() as world, open(os.devnull, "w", encoding="utf-8") as nowhere:
        place = world.from_first(lambda: str(free_folder(name) if out is None else out))
        folder, screen = RunFolder(Path(str(place))), (screen or Screen()) if world.is_first else Screen(nowhere)
        found: list[AnyRun | Values] = []

        def begin() -> Json:
            found.append(_begun(run, folder, screen, resume=resume, allow_changed=allow_changed))
            return None if isinstance(found[0], Values) else as_plain(found[0])

        told = world.from_first(begin)
        if not found and isinstance(told, dict):
            found.append(validate(told, source="the recipe of the first process"))
        begun = found[0] if found else None
        if begun is None or isinstance(begun, Values):
            return Result(folder.path, begun)
        if isinstance(begun, Run):
            return rl.train(begun, folder, resume=resume, screen=screen, on_step=on_step, world=world)
        return sft.train(begun, folder, resume=resume, screen=screen, on_step=on_step, world=world)


def _begun(run: AnyRun, folder: RunFolder, screen: Screen, *, resume: bool, allow_changed: bool) -> AnyRun | Values:
    """The run to make in the folder, with nothing left open; its result where it has come to its end. Raises as
    `train`."""
    if resume:
        run = resumed(folder, run, allow_changed=allow_changed)
    else:
        check_free(folder.path)
    if resume and (ended := folder.read_result()) is not None:
        values = _values_of(folder, ended)
        if run.steps <= values.steps or values.collapse is not None:
            screen.note(f"{folder.path} has come to its end already")
            return values
        # The end of a run that is made longer is not its end any more.
        folder.result.unlink()
        if folder.adapter.is_dir():
            remove_folder(folder.adapter)
    check_trackers(run.track)
    return replace(run, model=resolved(run.model))


def _values_of(folder: RunFolder, ended: Mapping[str, Json]) -> Values:
    try:
        return Values.from_plain(ended)
    except ValueError as error:
        raise folder.damaged_result(one_line(reason_of(error), LONGEST_FAULT)) from error


def preview(run: AnyRun) -> str:
    """A dry run: everything is checked and shown, nothing is written. Raises as the training would."""
    check_trackers(run.track)
    check_shard(run)
    run = replace(run, model=resolved(run.model))
    if isinstance(run, Run):
        rl_setup = setup.prepare(run, Screen(sys.stderr).note)
        policy, problems = rl_setup.policy, rl_setup.problems
        [problem] = items_of_step(problems, 1, seed=run.seed, step=1)
        prompt = prompt_tokens(policy.tokenizer, problem.messages)
        counts = f"# {len(problems):,} training problems; the first prompt, of {len(prompt)} tokens:"
        notes = (f"# {visible(note)}" for note in rl_setup.notes)
        data = [*left_out(rl_setup.skipped), *notes, counts, *quoted(policy.tokenizer, prompt)]
    else:
        supervised = sft_setup.prepare(run)
        policy, examples = supervised.policy, supervised.examples
        [first] = items_of_step(examples, 1, seed=run.seed, step=1)
        counts = f"{len(examples):,} training and {len(supervised.held_out):,} held-out examples"
        data = [
            *left_out(supervised.skipped),
            *(f"# {visible(note)}" for note in supervised.notes),
            f"# {counts}; the first, of {len(first.tokens)} tokens, of which {len(first.targets)} are learned, "
            f"those between {BEGIN} and {END}:",
            *marked(policy.tokenizer, first),
        ]
    return "\n".join([to_toml(run), f"# {in_words(policy)}", *data, "# nothing was written"])


def left_out(skipped: Sequence[RowFault]) -> list[str]:
    """The rows that a run leaves out, as lines of a preview."""
    return [f"# left out: {line}" for line in faults_in_words(skipped).splitlines()] if skipped else []
