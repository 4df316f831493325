"""Jobs on a Ray cluster whose machines share the study's folder; the only file that knows Ray."""

import time
from pathlib import Path

import ray  # pyright: ignore[reportMissingImports] - an extra

from paring.study import child

POLL_SECONDS = 0.2


class RayJobs:
    """A Ray task a run, each of which starts the run in processes of one machine, as on this one."""

    def __init__(self, slots: int, *, threads: int, address: str, processes: int = 1, cpus: int | None = None) -> None:
        """Connect. `cpus`: of a run, by default those of its processes. Raises ValueError where no cluster answers,
        `address` being what `ray.init` takes."""
        try:
            ray.init(
                address=address,
                include_dashboard=False,  # it would only take time where a cluster is started here
                logging_level="error",
                log_to_driver=False,
                ignore_reinit_error=True,
            )
        except ConnectionError as error:
            raise ValueError(f"--ray {address}: no cluster answers there: start one by  ray start --head") from error
        self.slots = slots
        self.threads = threads
        self.processes = processes
        self._task = ray.remote(num_cpus=cpus or threads * processes, max_retries=0)(_work)
        self._waiting: dict[ray.ObjectRef, Path] = {}

    def start(self, recipe: str, folder: Path) -> None:
        self._waiting[self._task.remote(recipe, str(folder.resolve()), self.threads, self.processes)] = folder

    def ended(self) -> dict[Path, int]:
        ready, _ = ray.wait(list(self._waiting), num_returns=len(self._waiting), timeout=0)
        return {self._waiting.pop(one): _code(one) for one in ready}

    def stop(self) -> None:
        for one in self._waiting:
            ray.cancel(one)


def _work(recipe: str, folder: str, threads: int, processes: int) -> int:
    """On a machine of the cluster. Cancelled, or without its driver, it closes the child's input: the run is saved."""
    children = child.start(recipe, Path(folder), threads=threads, processes=processes)
    while True:
        try:
            # Ray's cancellation is no signal: a call that blocks would never hear of it.
            while (code := children.poll()) is None:
                time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            children.stop()
        else:
            return code


def _code(one: "ray.ObjectRef") -> int:
    """The child's exit code; for a task that was cancelled or lost, that of such a child."""
    try:
        return ray.get(one)
    except ray.exceptions.TaskCancelledError:
        return min(child.STOPPED)
    except ray.exceptions.RayError:
        return child.BROKEN
