"""Runs the command line in child processes that may be killed at a given call: imports once, forks for each.

One JSON request a line: {"args": [...], "log": path, "at": "module:name" | null, "call": n, "signal": number}.
Right before the n-th call of that function the child sends itself the signal. Two JSON answers a line each: the list
of process numbers at once, and the exit code.
With "kill": [root, position, mode] it is killed at that durable operation under `root` (killing.py); position 0 kills
never, and the number of operations is written to the file "count". With "forks" the runs of a study are forks too
(forked_runs.py), and with "in_run" the first of them is killed in the place of the study.
With "ranks": n there are n children, the processes of one run as torchrun would start them; "at" is for the one whose
number is "rank". The answer is then the list of their exit codes, and each logs to "log".<rank>.
"""

import importlib
import io
import itertools
import json
import os
import socket
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

import forked_runs
from killing import Killer

from paring import cli, load_run, train  # all is imported before the first fork
from paring.subjects import evaluate  # noqa: F401

os.fsync = lambda descriptor: None  # no power is cut here, and a kill loses nothing that was written
leave = os._exit
"""... also where a thread still runs code of the user's, for which `os._exit` is another function (settings.guard)."""


def send_before(at: str, call: int, signal: int) -> None:
    """Replace a function, `module:name` or `module:Class.name`, by one that sends us a signal before its n-th call."""
    module, _, path = at.partition(":")
    *owners, name = path.split(".")
    holder = importlib.import_module(module)
    for owner in owners:
        holder = getattr(holder, owner)
    real, count = getattr(holder, name), itertools.count(1)

    def interrupted(*args, **kwargs):
        if next(count) == call:
            os.kill(os.getpid(), signal)
        return real(*args, **kwargs)

    setattr(holder, name, interrupted)


def run_child(request: dict) -> None:
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.argv = ["paring", *request["args"]]
    killer = Killer(*request["kill"]) if request["kill"] and not request["in_run"] else None
    if killer:
        killer.arm()
    if request["forks"]:
        forked_runs.instead_of_processes((request["kill"], request["count"]) if request["in_run"] else None)
    if request["at"]:
        send_before(request["at"], request["call"], request["signal"])
    try:
        cli.main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    sys.stdout.flush()
    sys.stderr.flush()
    if killer and request["count"]:
        Path(request["count"]).write_text(str(killer.count))
    leave(code)


def run_rank(request: dict, rank: int, port: int) -> None:
    """One of several processes of a run."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": request["ranks"], "LOCAL_WORLD_SIZE": request["ranks"]}
    os.environ |= {name: str(value) for name, value in numbers.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    run_child(request | {"log": f"{request['log']}.{rank}"} | ({} if rank == request["rank"] else {"at": None}))


def main() -> None:
    """Makes a run first, so that no child has to work out what a process works out once: most of a tiny run."""
    tiny = {"rollout.problems": 1, "rollout.group_size": 2, "evaluate.limit": 1}
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        train(load_run("quickstart", steps=1, threads=1, **tiny), Path(folder) / "run")
    for line in sys.stdin:
        request = json.loads(line)
        children, port = [], free_port()
        for rank in range(request["ranks"] or 1):
            children.append(os.fork())
            if children[-1] == 0:
                run_rank(request, rank, port) if request["ranks"] else run_child(request)
        print(json.dumps(children), flush=True)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        print(json.dumps(codes if request["ranks"] else codes[0]), flush=True)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


if __name__ == "__main__":
    main()
