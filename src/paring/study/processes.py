"""The jobs that do the runs of a study, and those that are processes of this machine."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from paring.study import child
from paring.training.config import AnyRun, Run
from paring.training.shares import check_processes


class Jobs(Protocol):
    """Does runs side by side: `slots` at once, each by so many `processes` with so many `threads`."""

    slots: int
    threads: int
    processes: int

    def start(self, recipe: str, folder: Path) -> None:
        """Begin a run, or go on with it: the run as JSON, and its folder."""

    def ended(self) -> dict[Path, int]:
        """The folders of the runs that came to an end since the last call, with their exit codes."""
        ...

    def stop(self) -> None:
        """Let all runs under way save and end; `ended` gives them when they have."""


class LocalJobs:
    """Processes of this machine."""

    def __init__(self, slots: int, threads: int, processes: int = 1) -> None:
        self.slots = slots
        self.threads = threads
        self.processes = processes
        self._running: dict[Path, child.Children] = {}

    def start(self, recipe: str, folder: Path) -> None:
        self._running[folder] = child.start(recipe, folder, threads=self.threads, processes=self.processes)

    def ended(self) -> dict[Path, int]:
        codes = {folder: code for folder, one in self._running.items() if (code := one.poll()) is not None}
        for folder in codes:
            self._running.pop(folder).stop()
        return codes

    def stop(self) -> None:
        for one in self._running.values():
            one.stop()


def at_work(run: AnyRun, processes: int) -> int:
    """How many of a run's processes compute at the same time: those that train, and a server of its own that samples
    ahead. Raises ValueError where so many cannot train it."""
    check_processes(run, processes)
    if not isinstance(run, Run) or run.rollout.engine != "served" or run.rollout.servers:
        return processes
    return processes + bool(run.rollout.ahead)


def local_jobs(slots: int, runs: Sequence[AnyRun], *, cpus: int, processes: int = 1) -> LocalJobs:
    """Jobs that share the CPUs equally, each run by so many processes. Raises ValueError where the CPUs are too few, or
    a run cannot be divided so."""
    most = max(at_work(run, processes) for run in runs)
    if slots * most > cpus:
        words = f"--jobs {slots}" if most == 1 else f"--jobs {slots} of {most} processes at work each"
        raise ValueError(f"{words}: this process may use {cpus} CPUs: give {cpus // most} at most")
    each = cpus // (slots * most)
    if (threads := max(run.threads for run in runs)) > each:
        raise ValueError(
            f"threads = {threads}, and --jobs {slots} leaves {each} of {cpus} CPUs each: lower one of the two"
        )
    return LocalJobs(slots, each, processes)
