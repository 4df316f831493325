"""Where the runs of a study are done, and the jobs that are processes of this machine."""

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from paring.study import child


class Jobs(Protocol):
    """Does runs side by side."""

    slots: int
    """How many at once."""
    threads: int
    """Of each."""

    def start(self, recipe: str, folder: Path) -> None:
        """Begin a run, or go on with it: the run as JSON, and its folder."""

    def ended(self) -> dict[Path, int]:
        """The folders of the runs that came to an end since the last call, with their exit codes."""

    def stop(self) -> None:
        """Ask all that are under way to save and end; `ended` tells when they have."""


class LocalJobs:
    """A process a run."""

    def __init__(self, slots: int, threads: int) -> None:
        self.slots = slots
        self.threads = threads
        self._processes: dict[Path, subprocess.Popen[str]] = {}

    def start(self, recipe: str, folder: Path) -> None:
        self._processes[folder] = child.start(recipe, folder, threads=self.threads)

    def ended(self) -> dict[Path, int]:
        codes = {folder: process.poll() for folder, process in self._processes.items()}
        codes = {folder: code for folder, code in codes.items() if code is not None}
        for folder in codes:
            self._close(self._processes.pop(folder))
        return codes

    def stop(self) -> None:
        for process in self._processes.values():
            self._close(process)

    def _close(self, process: subprocess.Popen[str]) -> None:
        if not process.stdin.closed:
            process.stdin.close()


def local_jobs(slots: int, *, threads: Iterable[int], cpus: int) -> LocalJobs:
    """Processes that share the CPUs equally. `threads`: what the runs ask for, 0 where they take what there is.
    Raises ValueError where the CPUs do not do."""
    if slots > cpus:
        raise ValueError(f"--jobs {slots}: this process may use {cpus} CPUs: ask for {cpus} at most")
    each = cpus // slots
    if (most := max(threads)) > each:
        raise ValueError(
            f"threads = {most}, and --jobs {slots} leaves {each} of {cpus} CPUs each: lower one of the two"
        )
    return LocalJobs(slots, each)
