"""The shell of both loops: all that a run does beside its algorithm, from its lock to its result."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass

import torch
from safetensors.torch import save as tensors_to_bytes

from paring.adapters.attach import ranks_of, state
from paring.adapters.kinds import Moving
from paring.evaluation.items import Item
from paring.evaluation.measuring import Evaluation
from paring.policy.packing import PackedBatch
from paring.policy.publishing import joint_identity, publish
from paring.rollout.engine import EngineFailed
from paring.runtime.faults import RowFault, faults_in_words
from paring.runtime.files import staged_folder
from paring.runtime.folder import RunFolder
from paring.runtime.gpu import begin_peaks, peaks
from paring.runtime.interruption import Interrupted, Interruption
from paring.runtime.journal import read_rows
from paring.runtime.kept import newest_first
from paring.runtime.machine import peak_memory_gb
from paring.runtime.screen import Screen
from paring.settings.complaints import NotFinite, RunBroken, RunFailed
from paring.tracking.listeners import OnStep
from paring.training.alarm import heard_by_all, is_to_end
from paring.training.collecting import AnswerRow
from paring.training.config import AnyRun, Run
from paring.training.divergence import divergence
from paring.training.heldout import HeldOutLoss
from paring.training.ledger import Ledger, begun, locked
from paring.training.optim import Update
from paring.training.progress import Examined, Progress, Trained, restore, save
from paring.training.rank_events import rank_event
from paring.training.result import Result, values_of
from paring.training.world import ALONE, World
from paring.types import Json

MOST_DROPS_IN_A_ROW = 3
Measured = Evaluation | HeldOutLoss


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
    ledger: Ledger | None
    """The ledger of the first process, which alone writes; None elsewhere."""
    interruption: Interruption
    screen: Screen
    world: World = ALONE

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
        world: World = ALONE,
    ) -> Iterator["Loop"]:
        """Begin the folder, or go on from its newest checkpoint. A wait that is given up ends the block, saved.

        Raises RunIsBusy where another process works in it. A NotFinite within comes out as RunFailed that names the
        last healthy checkpoint."""
        with ExitStack() as held:
            world.together(lambda: held.enter_context(locked(folder)) if world.is_first else None)
            save_file = folder.save_now if world.is_first else None
            interruption = Interruption("what is not saved yet", save_file=save_file, is_quiet=not world.is_first)
            held.enter_context(interruption)
            held.enter_context(heard_by_all(world, interruption))
            journal = world.together(
                lambda: held.enter_context(begun(run, folder, resume=resume)) if world.is_first else None
            )
            progress = restore(folder, trained, journal, screen, world) if resume else Progress()
            ledger = world.together(lambda: journal and Ledger.of(run, folder, progress.step, journal, screen, on_step))
            loop = cls(run, folder, trained, progress, ledger, interruption, screen, world)
            try:
                yield loop
            except Interrupted as given_up:
                interruption.requested = interruption.requested or str(given_up)
                world.together(loop._save_what_is_made)
            except EngineFailed as error:
                loop._save_what_is_made()
                words = str(error).rstrip(".")
                raise RunBroken(f"{words}. Go on with  paring train --resume {folder.path}") from error
            except NotFinite as error:
                if progress.before is None:
                    raise  # the base itself is not finite, which no other recipe would mend
                raise RunFailed(divergence(f"{error} after step {progress.step}", run, folder, progress)) from error
            finally:
                screen.finish()
                if ledger is not None:
                    ledger.close(folder.read_result() or {})

    @property
    def is_over(self) -> bool:
        """All steps are made, or the run is to end where it collapses, and has."""
        stops = isinstance(self.run, Run) and self.run.collapse.stop
        return self.progress.step >= self.run.steps or (stops and self.progress.watch.found is not None)

    def leave_out(self, skipped: Sequence[RowFault]) -> None:
        """Put on record which rows of the data are left out; none: nothing is written."""
        if skipped and self.ledger is not None:
            self.folder.write_skipped([fault.as_plain() for fault in skipped])
            self.screen.note(f"{faults_in_words(skipped)}\nleft out, and listed in {self.folder.skipped}")

    def write_items(self, items: Sequence[Item]) -> None:
        """Put on record the answers to the test split after training."""
        if self.ledger is not None:
            self.folder.write_items([item.as_plain() for item in items])

    def begin(self, title: str, held_out: str, examine: Callable[[], Examined]) -> None:
        """Measure the base on what is `held_out`, unless a checkpoint knows it, and show the run."""
        if self.progress.before is None:
            self.screen.note(f"measuring the base on held-out {held_out} ...")
            with self.world.waiting():
                self.progress.before = examine()
        made = [] if self.ledger is None else list(read_rows(self.folder.metrics))
        self.screen.start(title, self.run.steps, self.progress.step, history=made)

    def steps(self) -> Iterator[int]:
        """The number of each step to make, until the run is over or interrupted; then it is saved."""
        self.interruption.at_stake = f"the steps after step {self.progress.step}"
        while not self.is_over and not is_to_end(self.world, self.interruption):
            begin_peaks(self.trained.policy.device)
            yield self.progress.step + 1
            if self.screen.is_closed:
                self.interruption.end_without_reader()
        if not self.is_over:
            self._save()

    def record(self, step: Step, figure: str, measure: Callable[[], Measured]) -> None:
        """Journal and show a step, and do what is due after it: measure the `figure`, move ranks, save.

        Raises RunFailed after too many dropped steps in a row."""
        self.progress.count(step.update, step.seconds)
        measured = self._show(step, figure, measure)
        run, number, dropped = self.run, self.progress.step, self.progress.dropped_in_a_row
        keeps_best = run.save.best == "validation" and not dropped
        is_best = keeps_best and measured is not None and self.progress.is_best(measured.as_plain())
        if isinstance(run.adapter, Moving) and run.adapter.is_event(number, run.steps):
            self._move_ranks(run.adapter, step.probe())
        if dropped == MOST_DROPS_IN_A_ROW:
            what = f"the loss or gradient was not finite in {MOST_DROPS_IN_A_ROW} steps in a row"
            raise RunFailed(divergence(f"{what}, the last of them step {number}", run, self.folder, self.progress))
        # Not after a dropped step: its checkpoint would hold nothing new, and push out the last that is healthy.
        due = run.save.every > 0 and number % run.save.every == 0
        if self.is_over or ((self.world.any(self.interruption.save_asked) or due or is_best) and not dropped):
            self._save()

    def interrupted(self) -> Result:
        """The result of a run that is not over."""
        return Result(self.folder.path, exit_code=self.interruption.exit_code)

    def finish(self, after: Examined, *, validation: Mapping[str, object] | None = None) -> Result:
        """Publish the adapter and write result.json, the last file of a run."""
        assert self.progress.before is not None
        self._publish_adapter()
        values = values_of(self.run, self.progress, self.trained.policy, after, validation, processes=self.world.size)
        if self.ledger is not None:
            self.folder.write_result(values.as_plain())
        return Result(self.folder.path, values)

    def _publish_adapter(self) -> None:
        policy, place = self.trained.policy, {"base": self.run.model.path, "target": self.folder.adapter}
        identity = joint_identity(policy.model, **place)
        if self.ledger is None:
            return
        with staged_folder(self.folder.adapter) as staging:
            read = publish(staging, policy.model, policy.adapters, by_peft=False, identity=identity, **place)
        if read.fault is not None:
            self.screen.note(f"{read.reader} would read another adapter ({read.fault}): paring export --merged")

    def _show(self, step: Step, figure: str, measure: Callable[[], Measured]) -> Measured | None:
        """Journal and show a step; what was measured after it, where that was due."""
        measured, progress, run = None, self.progress, self.run
        peak = peak_memory_gb()
        metrics = dict(step.metrics) | {"seconds": step.seconds}
        metrics |= ({} if peak is None else {"peak_memory_gb": peak}) | peaks(self.trained.policy.device)
        unpacked = self.trained.policy.unpacked
        metrics |= {} if unpacked is None else {"unpacked": unpacked}
        metrics |= {"threads": torch.get_num_threads(), "dropped_steps": progress.dropped, "updates": progress.updates}
        if run.evaluate.every and progress.step % run.evaluate.every == 0:
            self.screen.phase("evaluation")
            try:
                measured = measure()
            except Interrupted:  # the step is made, and must be on record where it is saved
                self.screen.note(f"step {progress.step}: its evaluation is given up")
            else:
                metrics |= {"evaluation": measured.as_plain(), "seconds_evaluate": measured.seconds}
                self.screen.note(f"step {progress.step}: {figure} {measured}")
        if isinstance(run, Run):
            answers = run.rollout.problems * run.rollout.group_size
            if collapse := progress.watch.observe(metrics, run.collapse, answers=answers):
                metrics |= {"collapse": asdict(collapse)}
                self.screen.note(f"step {progress.step}: {collapse.words}")
        if self.ledger is not None:
            self.ledger.step(metrics, step.answers)
        return measured

    def _move_ranks(self, adapter: Moving, probe: PackedBatch) -> None:
        trained, place = self.trained, {"step": self.progress.step, "steps": self.run.steps, "seed": self.run.seed}
        event = rank_event(adapter, trained.policy, trained.optimiser, probe, **place)
        self.world.agree("the ranks that an event gives", lambda: repr(ranks_of(trained.policy.adapters)).encode())
        if self.ledger is not None:
            self.ledger.journal.ranks(vars(event))
        for one in trained.earlier.values():
            one.refresh()

    def _save(self) -> None:
        self.world.agree("the adapters", lambda: tensors_to_bytes(state(self.trained.policy.adapters)))
        self.world.together(self._write_checkpoint)

    def _write_checkpoint(self) -> None:
        if self.ledger is not None:
            save(self.folder, self.trained, self.progress, self.ledger.journal, self.world, keep=self.run.save.keep)
        self.interruption.at_stake = f"the steps after step {self.progress.step}"
        self.interruption.saved()

    def _save_what_is_made(self) -> None:
        """After a wait that was given up. Before the base is measured there is nothing to save. No meeting."""
        saved = (step for step, _ in newest_first(self.folder.checkpoints))
        if self.progress.before is not None and self.progress.step not in saved:
            self._write_checkpoint()
