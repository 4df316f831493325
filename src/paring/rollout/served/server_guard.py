"""Runs a command that ends with whoever started it: `python -m paring.rollout.served.server_guard COMMAND ...`.

The parent holds the other end of standard input. When that closes, because the parent wants it or has died, be it by
kill -9, the command and all that it has started is ended."""

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
    process = subprocess.Popen(
        sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_end_with_this_process
    )
    while process.poll() is None:
        ready, _, _ = select.select([0], [], [], LOOK_SECONDS)
        if ready and not os.read(0, 1):
            break
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
    sys.exit(process.returncode)


def _end_with_this_process() -> None:
    """Should this process itself be killed, Linux kills the command."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
