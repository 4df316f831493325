"""Supervised fine-tuning on low-rank adapters: draw examples, cross-entropy, update; evaluate, save, resume."""

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from paring.adapters.kinds import Gated
from paring.config import SftRun, to_toml
from paring.maths.reducers import Totals, cross_entropy
from paring.policy.model import Policy
from paring.policy.packing import Labelled, pack_examples
from paring.runtime.folder import RunFolder, free_folder
from paring.runtime.interruption import Interruption
from paring.runtime.journal import Journal
from paring.runtime.lock import run_lock
from paring.runtime.machine import Stopwatch, peak_memory_gb
from paring.runtime.screen import Screen
from paring.settings.complaints import NotFinite, RunFailed
from paring.training.draws import items_of_step
from paring.training.heldout import HeldOutLoss, cut_examples, held_out_loss
from paring.training.optim import Optimiser, learning_rate
from paring.training.progress import Examined, Progress, diverged, restore, save, save_is_due, stop_if_diverging
from paring.training.rank_events import event_is_due, gate_rule, rank_event, rank_metrics
from paring.training.result import Result, finished, result_so_far
from paring.training.sft_setup import SftSetup, prepare
from paring.training.update import Update, step_if_finite
from paring.types import Key


@dataclass(frozen=True)
class SftStep:
    """What one step gave: its examples, its update, and what the journal says of it."""

    examples: list[Labelled]
    update: Update
    metrics: dict[str, Any]


def train(run: SftRun, out: str | Path | None = None, *, resume: bool = False, screen: Screen | None = None) -> Result:
    """Fine-tune a policy as the run says, and write everything to the folder `out`, by default a new one in runs/.

    `resume` goes on with the run that `out` holds, to the same bytes as if it had never been interrupted. Ctrl-C and
    SIGTERM end the run after the step in hand, saved; a second one ends it at once.
    Raises ValueError, before any work is done, for what is wrong with recipe, data, model or folder; RunFailed when
    numbers are not finite several steps in a row; OSError where the disk refuses a checkpoint."""
    folder = RunFolder(Path(out) if out is not None else free_folder(f"sft-{run.data.name}"))
    screen = screen or Screen()
    if ended := result_so_far(folder, run, resume=resume, screen=screen):
        return ended
    setup = prepare(run)
    optimiser = Optimiser(setup.parameters, run.optimiser, gate_rule(run.adapter, run.steps))
    if not resume:
        folder.begin(to_toml(run))
    for note in setup.notes:
        screen.note(note)
    with (
        run_lock(folder.path),
        closing(Journal(folder.path, ranks=isinstance(run.adapter, Gated))) as journal,
        Interruption() as interruption,
    ):
        progress = restore(folder, setup, optimiser, journal, screen) if resume else Progress()
        if progress.before is None:
            screen.note(f"measuring the base on held-out examples of {run.data.name} ...")
            progress.before = Examined(_measure(run, setup).as_plain(), [])
        title = f"supervised on {run.data.name}: {setup}, {len(setup.examples):,} examples"
        screen.start(title, run.steps, progress.step)
        try:
            while progress.step < run.steps and not interruption.requested:
                step = sft_step(run, setup, optimiser, progress.step + 1)
                progress.count(step.update, step.metrics["seconds"])
                _publish(run, setup, step, progress, journal, screen)
                if event_is_due(run, progress.step):
                    probe = pack_examples(step.examples[:1], setup.policy.device)
                    journal.ranks(rank_event(run, setup.policy, optimiser, probe, progress.step))
                stop_if_diverging(folder, progress)
                if save_is_due(run, progress):
                    save(folder, setup, optimiser, progress, journal, keep=run.save.keep)
            if progress.step < run.steps:
                save(folder, setup, optimiser, progress, journal, keep=run.save.keep)
                return Result(folder.path, exit_code=interruption.exit_code)
            screen.note("measuring the trained policy ...")
            after = Examined(_measure(run, setup).as_plain(), [])
            return finished(run, {"method": "sft", "data": run.data.name}, folder, setup, progress, after)
        except NotFinite as error:
            raise RunFailed(diverged(folder, progress, f"{error} after step {progress.step}")) from error
        finally:
            screen.finish()


def sft_step(run: SftRun, setup: SftSetup, optimiser: Optimiser, number: int) -> SftStep:
    """One batch of examples and the update made from it."""
    start, watch = time.perf_counter(), Stopwatch()
    examples = items_of_step(setup.examples, run.batch, seed=run.seed, step=number)
    lr = learning_rate(run.optimiser, number, run.steps)
    with watch("training"):
        update = fit(
            setup.policy,
            optimiser,
            examples,
            lr=lr,
            tokens_per_pass=run.optimiser.tokens_per_pass,
            seed=Key(run.seed, number).number(),
        )
    metrics = {
        "step": number,
        "epoch": number * run.batch / len(setup.examples),
        "tokens": update.tokens,
        **update.measures,
        "learning_rate": lr,
        **rank_metrics(setup.policy.adapters),
        "training_tokens_per_second": update.tokens / watch.seconds["training"],
        "seconds_training": watch.seconds["training"],
        "seconds": time.perf_counter() - start,
        "peak_memory_gb": peak_memory_gb(),
        "threads": torch.get_num_threads(),
    }
    return SftStep(examples, update, metrics)


def fit(
    policy: Policy, optimiser: Optimiser, examples: Sequence[Labelled], *, lr: float, tokens_per_pass: int, seed: int
) -> Update:
    """One optimiser step down the mean cross-entropy of all learned tokens, added up over passes.

    A loss or gradient that is not finite drops the step. `seed` is of the adapters' dropout."""
    totals = Totals(sequences=len(examples), tokens=sum(len(example.targets) for example in examples))
    update = Update(tokens=totals.tokens, measures={"loss": 0.0})
    optimiser.zero_grad()
    with torch.random.fork_rng(), policy.training():
        torch.manual_seed(seed)
        for part in cut_examples(examples, tokens_per_pass):
            batch = pack_examples(part, policy.device)
            loss = cross_entropy(policy.log_probs(batch, temperature=1.0), batch.mask_BT, totals)
            loss.backward()
            update.measures["loss"] += float(loss.detach())
    step_if_finite(optimiser, update, lr)
    return update


def _publish(run: SftRun, setup: SftSetup, step: SftStep, progress: Progress, journal: Journal, screen: Screen) -> None:
    """Journal a step and show it, with an evaluation where one is due."""
    metrics = step.metrics | {"dropped_steps": progress.dropped, "updates": progress.updates}
    if run.evaluate.every and progress.step % run.evaluate.every == 0:
        evaluation = _measure(run, setup)
        metrics |= {"evaluation": evaluation.as_plain(), "seconds_evaluate": evaluation.seconds}
        screen.note(f"step {progress.step}: held-out loss {evaluation}")
    journal.record(metrics)
    screen.step(metrics)


def _measure(run: SftRun, setup: SftSetup) -> HeldOutLoss:
    return held_out_loss(setup.policy, setup.held_out, tokens_per_pass=run.optimiser.tokens_per_pass)
