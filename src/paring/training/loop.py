"""The shell of both loops: all that a run does beside its algorithm, from its lock to its result."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass

import torch

from paring.adapters.attach import published_parameters, ranks_of
from paring.adapters.coverage import coverage
from paring.adapters.kinds import Gated
from paring.evaluation.measuring import Evaluation
from paring.policy.packing import PackedBatch
from paring.policy.publishing import publish
from paring.runtime.checkpoint import newest_first, rotate
from paring.runtime.facts import facts_of_this_process
from paring.runtime.faults import RowFault, faults_in_words
from paring.runtime.files import remove_staging, staged_folder
from paring.runtime.folder import RunFolder
from paring.runtime.gpu import begin_peaks, peaks
from paring.runtime.interruption import Interrupted, Interruption, waiting
from paring.runtime.journal import Journal, read_rows
from paring.runtime.lock import run_lock
from paring.runtime.machine import peak_memory_gb, versions
from paring.runtime.screen import Screen
from paring.settings.complaints import NotFinite, RunFailed
from paring.tracking.listeners import Listeners, OnStep
from paring.training.collecting import AnswerRow
from paring.training.config import AnyRun, Run, as_plain, to_toml
from paring.training.divergence import divergence
from paring.training.heldout import HeldOutLoss
from paring.training.inputs import settle
from paring.training.optim import Update
from paring.training.progress import Examined, Progress, Trained, restore, save
from paring.training.rank_events import rank_event
from paring.training.result import PublishedAdapter, Result, ShownChange, Values
from paring.types import Json

MOST_DROPS_IN_A_ROW = 3


@dataclass(frozen=True)
class Step:
    """The record of a step: its metrics and answers for the journal, its seconds and its update. `probe` packs some of
    its tokens, on which a rank event compares the policy before and after."""

    metrics: Mapping[str, Json]
    seconds: float
    update: Update
    probe: Callable[[], PackedBatch]
    answers: Sequence[AnswerRow] = ()


@dataclass(frozen=True)
class Loop:
    """A run under way in its folder, which is locked, with its journal open and interruptions caught."""

    run: AnyRun
    folder: RunFolder
    trained: Trained
    progress: Progress
    journal: Journal
    interruption: Interruption
    screen: Screen
    listeners: Listeners

    @classmethod
    @contextmanager
    def opened(
        cls,
        run: AnyRun,
        folder: RunFolder,
        trained: Trained,
        *,
        resume: bool,
        screen: Screen,
        on_step: OnStep | None = None,
    ) -> Iterator["Loop"]:
        """Begin the folder, or go on from its newest checkpoint. A wait that is given up ends the block, saved.

        Raises RunIsBusy where another process works in it. A NotFinite within comes out as RunFailed that names the
        last healthy checkpoint."""
        folder.make()
        with (
            run_lock(folder.path),
            Interruption("what is not saved yet", save_file=folder.save_now) as interruption,
            ExitStack() as stack,
        ):
            if not resume:
                remove_staging(folder.path)
                folder.begin(to_toml(run))
            journal = stack.enter_context(closing(Journal(folder.path, ranks=isinstance(run.adapter, Gated))))
            progress = restore(folder, trained, journal, screen) if resume else Progress()
            settle(folder, run, to_toml(run), progress.step)
            rotate(folder.checkpoints, progress.step, run.save.keep)  # a kill may have come between save and removal
            folder.add_start(facts_of_this_process())
            listeners = Listeners(run.track, folder.path, as_plain(run), on_step)
            loop = cls(run, folder, trained, progress, journal, interruption, screen, listeners)
            try:
                yield loop
            except Interrupted:
                loop._save_what_is_made()
            except NotFinite as error:
                if progress.before is None:
                    raise  # the base itself is not finite, which no other recipe would mend
                raise RunFailed(divergence(f"{error} after step {progress.step}", run, folder, progress)) from error
            finally:
                screen.finish()
                for missed in listeners.close(folder.read_result() or {}):
                    screen.note(missed)

    @property
    def is_over(self) -> bool:
        """All steps are made, or the run is to end where it collapses, and has."""
        stops = isinstance(self.run, Run) and self.run.collapse.stop
        return self.progress.step >= self.run.steps or (stops and self.progress.watch.found is not None)

    def leave_out(self, skipped: Sequence[RowFault]) -> None:
        """Put on record which rows of the data are left out; none: nothing is written."""
        if skipped:
            self.folder.write_skipped([fault.as_plain() for fault in skipped])
            self.screen.note(f"{faults_in_words(skipped)}\nleft out, and listed in {self.folder.skipped}")

    def begin(self, title: str, held_out: str, examine: Callable[[], Examined]) -> None:
        """Measure the base on what is `held_out`, unless a checkpoint knows it, and show the run."""
        if self.progress.before is None:
            self.screen.note(f"measuring the base on held-out {held_out} ...")
            with waiting():
                self.progress.before = examine()
        made = list(read_rows(self.folder.metrics))
        self.screen.start(title, self.run.steps, self.progress.step, history=made)

    def steps(self) -> Iterator[int]:
        """The number of each step to make, until the run is over or interrupted; then it is saved."""
        self.interruption.at_stake = f"the steps after step {self.progress.step}"
        while not self.is_over and not self.interruption.requested:
            begin_peaks(self.trained.policy.device)
            yield self.progress.step + 1
            if self.screen.is_closed:
                self.interruption.end_without_reader()
        if not self.is_over:
            self._save()

    def record(self, step: Step, figure: str, measure: Callable[[], Evaluation | HeldOutLoss]) -> None:
        """Journal and show a step, and do what is due after it: measure the `figure`, move ranks, save.

        Raises RunFailed after too many dropped steps in a row."""
        self.progress.count(step.update, step.seconds)
        self._publish(step, figure, measure)
        run, number, dropped = self.run, self.progress.step, self.progress.dropped_in_a_row
        if isinstance(run.adapter, Gated) and run.adapter.is_event(number, run.steps):
            self._move_ranks(run.adapter, step.probe())
        if dropped == MOST_DROPS_IN_A_ROW:
            what = f"the loss or gradient was not finite in {MOST_DROPS_IN_A_ROW} steps in a row"
            raise RunFailed(divergence(f"{what}, the last of them step {number}", run, self.folder, self.progress))
        # Not after a dropped step: its checkpoint would hold nothing new, and push out the last that is healthy.
        due = run.save.every > 0 and number % run.save.every == 0
        if self.is_over or ((due or self.interruption.save_asked) and not dropped):
            self._save()

    def interrupted(self) -> Result:
        """The result of a run that is not over."""
        return Result(self.folder.path, exit_code=self.interruption.exit_code)

    def finish(self, after: Examined, *, validation: Mapping[str, object] | None = None) -> Result:
        """Publish the adapter and write result.json, the last file of a run."""
        run, progress, adapters = self.run, self.progress, self.trained.policy.adapters
        is_rl = isinstance(run, Run)
        assert progress.before is not None
        with staged_folder(self.folder.adapter) as staging:
            place = {"base": run.model.path, "target": self.folder.adapter}
            read = publish(staging, self.trained.policy.model, adapters, by_peft=False, **place)
        if read.fault is not None:
            self.screen.note(f"{read.reader} would read another adapter ({read.fault}): paring export --merged")
        values = Values(
            method=None if is_rl else "sft",
            data=None if is_rl else run.data.name,
            task=run.task.name if is_rl else None,
            objective=run.objective.kind if is_rl else None,
            seed=run.seed,
            steps=progress.step,
            updates=progress.updates,
            dropped_steps=progress.dropped,
            training_seconds=progress.seconds,
            peak_memory_gb=peak_memory_gb(),
            threads=torch.get_num_threads(),
            versions=versions(),
            unpacked=self.trained.policy.unpacked,
            adapter=PublishedAdapter(
                run.adapter.kind,
                published_parameters(adapters),
                ranks_of(adapters),
                coverage(self.trained.policy.model),
            ),
            before=progress.before.evaluation,
            after=after.evaluation,
            validation=validation,
            collapse=progress.watch.found,
            examples=[
                ShownChange(**vars(old), after=new.answer, correct_after=new.correct)
                for old, new in zip(progress.before.examples, after.examples, strict=True)
            ],
        )
        self.folder.write_result(values.as_plain())
        return Result(self.folder.path, values)

    def _publish(self, step: Step, figure: str, measure: Callable[[], Evaluation | HeldOutLoss]) -> None:
        progress, run = self.progress, self.run
        peak = peak_memory_gb()
        metrics = dict(step.metrics) | {"seconds": step.seconds}
        metrics |= ({} if peak is None else {"peak_memory_gb": peak}) | peaks(self.trained.policy.device)
        unpacked = self.trained.policy.unpacked
        metrics |= {} if unpacked is None else {"unpacked": unpacked}
        metrics |= {"threads": torch.get_num_threads(), "dropped_steps": progress.dropped, "updates": progress.updates}
        if run.evaluate.every and progress.step % run.evaluate.every == 0:
            self.screen.phase("evaluation")
            measured = measure()
            metrics |= {"evaluation": measured.as_plain(), "seconds_evaluate": measured.seconds}
            self.screen.note(f"step {progress.step}: {figure} {measured}")
        if isinstance(run, Run):
            answers = run.rollout.problems * run.rollout.group_size
            if collapse := progress.watch.observe(metrics, run.collapse, answers=answers):
                metrics |= {"collapse": asdict(collapse)}
                self.screen.note(f"step {progress.step}: {collapse.words}")
        self.journal.record(metrics)
        answers = [vars(row) for row in step.answers]
        self.journal.samples(answers)
        self.screen.step(metrics)
        if step.answers:
            first = step.answers[0]
            self.screen.sample(str(first.prompt[-1]["content"]), first.completion, first.reward)
        self.listeners.step(metrics, answers)

    def _move_ranks(self, adapter: Gated, probe: PackedBatch) -> None:
        trained, place = self.trained, {"step": self.progress.step, "steps": self.run.steps, "seed": self.run.seed}
        event = rank_event(adapter, trained.policy, trained.optimiser, probe, **place)
        self.journal.ranks(vars(event))
        if trained.sampler:
            trained.sampler.refresh()

    def _save(self) -> None:
        save(self.folder, self.trained, self.progress, self.journal, keep=self.run.save.keep)
        self.interruption.at_stake = f"the steps after step {self.progress.step}"
        self.interruption.saved()

    def _save_what_is_made(self) -> None:
        """After a wait that was given up. Before the base is measured there is nothing to save."""
        saved = (step for step, _ in newest_first(self.folder.checkpoints))
        if self.progress.before is not None and self.progress.step not in saved:
            self._save()
