"""The jobs that do the runs of a study, and those that are processes of this machine."""

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from paring.study import child


class Jobs(Protocol):
    """Does runs side by side: `slots` at once, each with so many `threads`."""

    slots: int
    threads: int

    def start(self, recipe: str, folder: Path) -> None:
        """Begin a run, or go on with it: the run as JSON, and its folder."""

    def ended(self) -> dict[Path, int]:
        """The folders of the runs that came to an end since the last call, with their exit codes."""
        ...

    def stop(self) -> None:
        """Let all runs under way save and end; `ended` gives them when they have."""


class LocalJobs:
    """A process a run."""

    def __init__(self, slots: int, threads: int) -> None:
        self.slots = slots
        self.threads = threads
        self._processes: dict[Path, subprocess.Popen[str]] = {}

    def start(self, recipe: str, folder: Path) -> None:
        self._processes[folder] = child.start(recipe, folder, threads=self.threads)

    def ended(self) -> dict[Path, int]:
        codes = {folder: code for folder, one in self._processes.items() if (code := one.poll()) is not None}
        for folder in codes:
            child.stop(self._processes.pop(folder))
        return codes

    def stop(self) -> None:
        for process in self._processes.values():
            child.stop(process)


def local_jobs(slots: int, *, threads: Iterable[int], cpus: int) -> LocalJobs:
    """Processes that share the CPUs equally. `threads`: of the runs, 0 where they take as many as there are.
    Raises ValueError where the CPUs are too few."""
    if slots > cpus:
        raise ValueError(f"--jobs {slots}: this process may use {cpus} CPUs: give {cpus} at most")
    each = cpus // slots
    if (most := max(threads)) > each:
        raise ValueError(
            f"threads = {most}, and --jobs {slots} leaves {each} of {cpus} CPUs each: lower one of the two"
        )
    return LocalJobs(slots, each)
