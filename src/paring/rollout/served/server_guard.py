"""A command that ends with its parent process: `python -m paring.rollout.served.server_guard COMMAND ...`.

The parent holds the other end of standard input. When that closes, by the parent's wish or by its death, the command
and all that it has started is ended."""

import ctypes
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress

LOOK_SECONDS, GRACE_SECONDS = 0.25, 5.0
PR_SET_PDEATHSIG = 1


def main() -> None:
    before = _end_with_this_process if sys.platform == "linux" else None
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=before)
    while process.poll() is None:
        ready, _, _ = select.select([0], [], [], LOOK_SECONDS)
        if ready and not os.read(0, 1):
            break
    _end(process)
    sys.exit(process.returncode)


def _end(process: subprocess.Popen[bytes]) -> None:
    """The command and its session; on Windows, which has no sessions, the command alone."""
    if sys.platform == "win32":
        process.kill()
        process.wait()
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)


def _end_with_this_process() -> None:
    """Should this process itself be killed, Linux kills the command."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
