"""One run of a study in processes of its own, mostly in one: their start, and the work of each.

The parent writes the run as one line of JSON into the child's standard input and leaves the pipe open. When it closes,
because the study is to stop or because its process has died, the child saves and ends as it would on SIGTERM."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from paring.runtime.folder import RunFolder
from paring.runtime.lock import RunIsBusy, run_lock
from paring.runtime.machine import free_port
from paring.settings.complaints import RunBroken, RunFailed
from paring.types import Json

FINISHED, BROKEN, FAILED = 0, 1, 3
"""Exit codes: FAILED is a run that began well and cannot go on, whose repetition would end the same way; BROKEN is
whatever has to be mended first."""
STOPPED = {129, 130, 143, -signal.SIGINT, -signal.SIGTERM}
"""... of a run that was stopped: 143 after it has saved, the others where a signal came from elsewhere, or before there
was anything to save."""
BUSY_SECONDS = 600
"""How long to wait for the child of a study that was killed, which is still saving its last step."""
BOUNDS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Children:
    """The processes of a run."""

    def __init__(self, processes: Sequence[subprocess.Popen[str]]) -> None:
        self.processes = processes

    def poll(self) -> int | None:
        """The exit code of the run, once all have ended: the first process's, or of another where that alone is not 0.
        Where one has failed, the others are stopped."""
        codes = [process.poll() for process in self.processes]
        if any(codes):
            self.stop()
        if any(code is None for code in codes):
            return None
        return next(filter(None, codes), FINISHED)

    def stop(self) -> None:
        """Let the run save and end. Harmless where it has ended."""
        for process in self.processes:
            if process.stdin and not process.stdin.closed:
                process.stdin.close()


def start(recipe: str, folder: Path, *, threads: int, processes: int = 1) -> Children:
    """Start the run in so many new processes, which go on with it where the folder holds a part of it already.

    recipe: the run as JSON, on one line. The output lies beside its folder, in `<folder>.log`. Sessions are their own,
    so that Ctrl-C on a terminal reaches the study alone."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    environment = os.environ | dict.fromkeys(BOUNDS, str(threads)) | {"TOKENIZERS_PARALLELISM": "false"}
    if processes == 1:
        return Children([_process(recipe, folder, environment)])
    count = str(processes)
    environment |= {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    numbered = [environment | {"RANK": str(number), "LOCAL_RANK": str(number)} for number in range(processes)]
    return Children([_process(recipe, folder, own) for own in numbered])


def _process(recipe: str, folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    with open(log_of(folder), "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "paring.study.child", str(folder)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            start_new_session=True,
        )
    with suppress(BrokenPipeError):  # the log of a child that died at once has the reason
        if process.stdin:
            process.stdin.write(recipe + "\n")
            process.stdin.flush()
    return process


def log_of(folder: Path) -> Path:
    return folder.with_name(folder.name + ".log")


def last_words(folder: Path, limit: int = 600) -> str:
    """The error that a child printed last, or the last line of its output."""
    log = log_of(folder)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    errors = [place for place, line in enumerate(lines) if line.startswith("error: ")]
    words = "\n".join(lines[errors[-1] :]).removeprefix("error: ") if errors else "".join(lines[-1:])
    return words[:limit] or "it printed nothing"


def main() -> None:
    """`python -m paring.study.child FOLDER`, the run on standard input."""
    recipe, folder = json.loads(sys.stdin.readline()), Path(sys.argv[1])
    threading.Thread(target=_stop_with_the_parent, args=(sys.stdin.fileno(),), daemon=True).start()
    try:
        sys.exit(_train(recipe, folder))
    except (RunFailed, ValueError, ModuleNotFoundError, OSError) as error:
        print(f"error: {error}")
        sys.exit(FAILED if isinstance(error, RunFailed) and not isinstance(error, RunBroken) else BROKEN)


def _train(recipe: dict[str, Json], folder: Path) -> int:
    from paring.training.config import validate
    from paring.training.method import train
    from paring.training.world import World

    run = validate(recipe, source=folder.name)
    with World.opened() as world:
        world.together(lambda: _wait_for(folder) if world.is_first else None)
        result = train(run, folder, resume=RunFolder(folder).recipe.is_file())
        if world.is_first:
            print(result)
    return result.exit_code


def _wait_for(folder: Path) -> None:
    """Raises RunIsBusy where another process works in the folder for too long."""
    waiting_until = time.monotonic() + BUSY_SECONDS
    while folder.is_dir():
        try:
            with run_lock(folder):
                return
        except RunIsBusy:
            if time.monotonic() > waiting_until:
                raise
            time.sleep(1)


def _stop_with_the_parent(pipe: int) -> None:
    # Not through sys.stdin: a thread that waits in it would hold its lock when the interpreter shuts down.
    while os.read(pipe, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
