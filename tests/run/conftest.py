"""The command line in child processes, which may be killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SERVER = Path(__file__).with_name("children.py")


@dataclass(frozen=True)
class Ended:
    """How a child ended: its exit code, or minus the signal that killed it, and all that it printed."""

    code: int
    output: str


@pytest.fixture(scope="session")
def paring_child(tmp_path_factory) -> Iterator[Callable[..., Ended]]:
    """`paring_child(args, at="module:function", call=n, signal=...)`: `paring args`, sent a signal before that call.
    `meanwhile` is called while it is at work, with its process number; `forks`: so are the runs of a study. With
    `ranks` so many processes, and a list of how they ended."""
    log = tmp_path_factory.mktemp("children") / "log"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    server = subprocess.Popen(
        [sys.executable, str(SERVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )

    def run(
        *args: object,
        at: str | None = None,
        call: int = 1,
        signal: int = signal.SIGKILL,
        kill: tuple[Path, int, str] | None = None,
        count: Path | None = None,
        in_run: bool = False,
        forks: bool = False,
        meanwhile: Callable[[int], None] | None = None,
        ranks: int = 0,
        rank: int = 0,
    ) -> Ended | list[Ended]:
        request = {"args": list(map(str, args)), "log": str(log), "at": at, "call": call, "signal": int(signal)}
        request |= {"kill": kill and [str(kill[0]), *kill[1:]], "count": count and str(count), "in_run": in_run}
        request |= {"ranks": ranks, "rank": rank, "forks": forks or kill is not None}
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        children = json.loads(server.stdout.readline())
        if meanwhile:
            meanwhile(children[0])
        answer = json.loads(server.stdout.readline())
        if ranks:
            logs = [log.with_name(f"{log.name}.{number}").read_text(errors="replace") for number in range(ranks)]
            return list(map(Ended, answer, logs))
        return Ended(answer, log.read_text(errors="replace"))

    yield run
    server.stdin.close()
    server.wait(timeout=30)
