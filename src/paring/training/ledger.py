"""All that a run writes and shows, by its first process: the lock, the journal, the screen, the listeners."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from paring.adapters.kinds import Moving
from paring.runtime.facts import facts_of_this_process
from paring.runtime.files import remove_staging
from paring.runtime.folder import RunFolder
from paring.runtime.journal import Journal
from paring.runtime.kept import rotate
from paring.runtime.lock import run_lock
from paring.runtime.screen import Screen
from paring.tracking.listeners import Listeners, OnStep
from paring.training.collecting import AnswerRow
from paring.training.config import AnyRun, as_plain, to_toml
from paring.training.inputs import settle
from paring.types import Json


@contextmanager
def locked(folder: RunFolder) -> Iterator[None]:
    """Make the folder, and hold its lock. Raises RunIsBusy where another process works in it."""
    folder.make()
    with run_lock(folder.path):
        yield


@contextmanager
def begun(run: AnyRun, folder: RunFolder, *, resume: bool) -> Iterator[Journal]:
    """The journal of the folder, which is begun unless the run is resumed."""
    if not resume:
        remove_staging(folder.path)
        folder.begin(to_toml(run))
    kept = {"samples_every": run.save.samples_every, "compress": run.save.compress}
    with closing(Journal(folder.path, ranks=isinstance(run.adapter, Moving), **kept)) as journal:
        yield journal


@dataclass(frozen=True)
class Ledger:
    """The journal, and all that is told of a step after it is journalled."""

    journal: Journal
    listeners: Listeners
    screen: Screen

    @classmethod
    def of(
        cls, run: AnyRun, folder: RunFolder, step: int, journal: Journal, screen: Screen, on_step: OnStep | None
    ) -> "Ledger":
        """Put this start of the run on record, which goes on after step `step`."""
        settle(folder, run, to_toml(run), step)
        rotate(folder.checkpoints, step, run.save.keep)  # a kill may have come between save and removal
        folder.add_start(facts_of_this_process())
        return cls(journal, Listeners(run.track, folder.path, as_plain(run), on_step), screen)

    def step(self, metrics: Mapping[str, Json], rows: Sequence[AnswerRow]) -> None:
        """Write and show a step."""
        self.journal.record(metrics)
        answers = [vars(row) for row in rows]
        self.journal.samples(answers)
        self.screen.step(metrics)
        if rows:
            self.screen.sample(str(rows[0].prompt[-1]["content"]), rows[0].completion, rows[0].reward)
        self.listeners.step(metrics, answers)

    def close(self, result: Mapping[str, Json]) -> None:
        """Let the listeners end, with what result.json holds if the run has ended."""
        for missed in self.listeners.close(result):
            self.screen.note(missed)
