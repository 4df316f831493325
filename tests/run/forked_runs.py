"""The runs of a study as forks of its process, which need not import anything: hundreds of studies in minutes."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from killing import Killer

from paring.study import child


class Forked:
    """As much of a `subprocess.Popen` as a study asks of the process of a run."""

    def __init__(self, command: list[str], *, stdout, env: dict[str, str], kill, **_) -> None:
        reading, writing = os.pipe()
        self.code: int | None = None
        self.process = os.fork()
        if self.process == 0:
            _run(command[-1], reading, stdout.fileno(), env, kill)
        os.close(reading)
        self.stdin = os.fdopen(writing, "w")

    def poll(self) -> int | None:
        if self.code is None and (ended := os.waitpid(self.process, os.WNOHANG))[0]:
            self.code = os.waitstatus_to_exitcode(ended[1])
        return self.code


def instead_of_processes(kill: tuple[list, str | None] | None) -> None:
    """kill: where the first run is killed, as of children.py, and the file for the number of its operations."""
    kills = iter([kill])

    def begin(command: list[str], **given) -> Forked:
        return Forked(command, kill=next(kills, None), **given)

    child.subprocess = SimpleNamespace(Popen=begin, PIPE=subprocess.PIPE, STDOUT=subprocess.STDOUT)


def _run(folder: str, stdin: int, log: int, env: dict[str, str], kill: tuple[list, str | None] | None) -> None:
    os.setsid()
    for known in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(known, signal.SIG_DFL)
    for descriptor, source in enumerate((stdin, log, log)):
        os.dup2(source, descriptor)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor > 2:  # the lock of the study among them
            os.dup2(nothing, descriptor)
    os.environ |= env
    sys.argv, sys.stdin = ["child", folder], os.fdopen(0)
    killer = Killer(*kill[0]) if kill else None
    if killer:
        killer.arm()
    try:
        child.main()
    except SystemExit as end:
        sys.stdout.flush()
        if killer and kill[1]:
            Path(kill[1]).write_text(str(killer.count))
        os._exit(end.code or 0)
    os._exit(70)
