"""RGRA on low-rank adapters: sample, score, advantage, update; evaluate, save, resume."""

import time
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from paring.adapters.kinds import Gated
from paring.config import Run, to_toml
from paring.evaluation.items import Item
from paring.evaluation.measuring import Evaluation, measure
from paring.policy.packing import packed
from paring.runtime.folder import RunFolder, free_folder
from paring.runtime.interruption import Interruption
from paring.runtime.journal import Journal
from paring.runtime.lock import run_lock
from paring.runtime.machine import Stopwatch, peak_memory_gb
from paring.runtime.memory import give_back_freed_memory
from paring.runtime.screen import Screen
from paring.settings.complaints import NotFinite, RunFailed
from paring.training.collecting import collect
from paring.training.optim import Optimiser, learning_rate
from paring.training.progress import (
    Examined,
    Progress,
    diverged,
    is_over,
    restore,
    save,
    save_is_due,
    stop_if_diverging,
)
from paring.training.rank_events import event_is_due, gate_rule, rank_event, rank_metrics
from paring.training.record import advantage_metrics, rollout_metrics, sample_rows, speed_metrics
from paring.training.result import Result, finished, result_so_far
from paring.training.setup import Setup, prepare
from paring.training.update import Update, improve
from paring.types import Group, Key


@dataclass(frozen=True)
class Step:
    """What one step gave: its groups, its update, and what the journal says of it."""

    groups: list[Group]
    update: Update
    metrics: dict[str, Any]
    samples: list[dict[str, Any]]


def train(run: Run, out: str | Path | None = None, *, resume: bool = False, screen: Screen | None = None) -> Result:
    """Post-train a policy as the run says, and write everything to the folder `out`, by default a new one in runs/.

    `resume` goes on with the run that `out` holds, to the same bytes as if it had never been interrupted. Ctrl-C and
    SIGTERM end the run after the step in hand, saved; a second one ends it at once.
    Raises ValueError, before any work is done, for what is wrong with recipe, data, model or folder; RunFailed when
    numbers are not finite several steps in a row; OSError where the disk refuses a checkpoint."""
    folder = RunFolder(Path(out) if out is not None else free_folder(run.task.name))
    screen = screen or Screen()
    if ended := result_so_far(folder, run, resume=resume, screen=screen):
        return ended
    setup = prepare(run)
    optimiser = Optimiser(
        setup.parameters, run.optimiser, gate_rule(run.adapter, run.steps * run.rollout.optimiser_steps)
    )
    if not resume:
        folder.begin(to_toml(run))
    with (
        run_lock(folder.path),
        closing(Journal(folder.path, ranks=isinstance(run.adapter, Gated))) as journal,
        Interruption() as interruption,
    ):
        progress = restore(folder, setup, optimiser, journal, screen) if resume else Progress()
        if progress.before is None:
            screen.note(f"measuring the base on held-out problems of {run.task.name} ...")
            progress.before = Examined.of(*_test(run, setup))
        screen.start(f"{run.objective.kind} on {run.task.name}: {setup}", run.steps, progress.step)
        try:
            while not is_over(run, progress) and not interruption.requested:
                step = rl_step(run, setup, optimiser, progress.step + 1)
                progress.count(step.update, step.metrics["seconds"])
                _publish(run, setup, step, progress, journal, screen)
                if event_is_due(run, progress.step):
                    probe = packed(step.groups[:1], setup.policy.device)
                    journal.ranks(rank_event(run, setup.policy, optimiser, probe, progress.step))
                    setup.sampling.refresh()
                stop_if_diverging(folder, progress)
                if save_is_due(run, progress):
                    save(folder, setup, optimiser, progress, journal, keep=run.save.keep)
            if not is_over(run, progress):
                save(folder, setup, optimiser, progress, journal, keep=run.save.keep)
                return Result(folder.path, exit_code=interruption.exit_code)
            screen.note("measuring the trained policy ...")
            evaluation, items = _test(run, setup)
            folder.write_items([item.as_plain() for item in items])
            named = {"task": run.task.name, "objective": run.objective.kind}
            validation = _validate(run, setup).as_plain() if run.evaluate.validation_at_end else None
            found = {"validation": validation, "collapse": progress.watch.found}
            return finished(run, named, folder, setup, progress, Examined.of(evaluation, items), found)
        except NotFinite as error:
            raise RunFailed(diverged(folder, progress, f"{error} after step {progress.step}")) from error
        finally:
            screen.finish()


def rl_step(run: Run, setup: Setup, optimiser: Optimiser, number: int) -> Step:
    """One rollout and the update made from it: the algorithm itself (arXiv 2603.18756, sec. 3)."""
    start, watch, key = time.perf_counter(), Stopwatch(), Key(run.seed, number)
    setup.sampling.begin_step()
    with setup.sampling.as_it_was():
        collected = collect(run, setup, key, watch)
    give_back_freed_memory()
    outcome = collected.outcome(run.rollout.max_new_tokens)
    advantage_PG = setup.objective.advantage(outcome)
    lr = learning_rate(run.optimiser, number, run.steps)
    update = improve(
        setup.policy,
        optimiser,
        collected.kept_groups,
        advantage_PG,
        setup.objective,
        temperature=run.rollout.temperature,
        lr=lr,
        updates=run.rollout.updates,
        minibatches=run.rollout.minibatches,
        tokens_per_pass=run.optimiser.tokens_per_pass,
        seed=key.number(),
        watch=watch,
        selected_PG=setup.objective.selected(outcome),
        longest=outcome.longest,
        as_sampled=setup.sampling.as_it_was if setup.sampling.is_stale else None,
    )
    groups, scores = collected.groups, collected.scores
    metrics = {
        "step": number,
        **rollout_metrics(groups, scores, collected.reward_PG(), sampled=not setup.objective.from_solutions),
        **advantage_metrics(advantage_PG),
        "redrawn": len(groups) - len(collected.kept),
        "staleness": setup.sampling.age,
        **update.measures,
        "learning_rate": lr,
        **rank_metrics(setup.policy.adapters),
        **speed_metrics(groups, update, watch.seconds),
        "seconds": time.perf_counter() - start,
        "peak_memory_gb": peak_memory_gb(),
        "threads": torch.get_num_threads(),
    }
    setup.sampling.end_step()
    return Step(
        collected.kept_groups, update, metrics, sample_rows(number, groups, scores, collected.of_all(advantage_PG))
    )


def _publish(run: Run, setup: Setup, step: Step, progress: Progress, journal: Journal, screen: Screen) -> None:
    """Journal a step and show it, with an evaluation where one is due."""
    metrics = step.metrics | {"dropped_steps": progress.dropped, "updates": progress.updates}
    if run.evaluate.every and progress.step % run.evaluate.every == 0:
        evaluation = _validate(run, setup)
        metrics |= {"evaluation": evaluation.as_plain(), "seconds_evaluate": evaluation.seconds}
        screen.note(f"step {progress.step}: validation accuracy {evaluation}")
    if collapse := progress.watch.observe(metrics, run.collapse):
        metrics |= {"collapse": collapse}
        screen.note(f"step {progress.step}: {collapse['words']}")
    journal.record(metrics)
    journal.samples(step.samples)
    screen.step(metrics)


def _test(run: Run, setup: Setup) -> tuple[Evaluation, list[Item]]:
    """Greedy answers to the test split: the accuracy before or after."""
    sampling = replace(run.rollout.sampling, temperature=0.0)
    return measure(setup.engine, run.task, "test", limit=run.evaluate.limit, sampling=sampling)


def _validate(run: Run, setup: Setup) -> Evaluation:
    """Greedy answers to the validation split."""
    sampling = replace(run.rollout.sampling, temperature=0.0)
    return measure(setup.engine, run.task, "validation", limit=run.evaluate.validation_limit, sampling=sampling)[0]
