"""Processes that may be killed at any time: each holds one question, and its death costs that answer only."""

import os
import signal
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from math import inf
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from subprocess import DEVNULL, PIPE, Popen

START_SECONDS = 120
"""Wall clock within which a process must say that it is ready."""
MOST_FAILED_STARTS = 3
_SPENT = None if sys.platform == "win32" else -signal.SIGPROF
"""The exit code of a process whose processor time is spent."""
TIMEOUT, KILLED = "timeout", "killed"
"""The answers to a question that took too long, and to one whose process ended while it held it."""


class Worker:
    """One process, from its start to its end: starting, idle, or busy with one question until a deadline."""

    def __init__(self, module: str, arguments: Sequence[str]):
        root = str(Path(__file__).parents[2])
        paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        # A session of its own: Ctrl-C in the terminal is for the parent, which ends its workers itself.
        process = Popen(
            [sys.executable, "-P", "-B", "-m", module, *arguments],
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        )
        assert process.stdin is not None and process.stdout is not None
        self._process, self._input, self._output = process, process.stdin, process.stdout
        self.is_ready = False
        self.question: int | None = None
        self.deadline = time.monotonic() + START_SECONDS
        self._received = b""

    def fileno(self) -> int:
        return self._output.fileno()

    def ask(self, index: int, question: str, seconds: float) -> bool:
        """Whether the question reached the process. Not if it has ended; the next `receive` is None then."""
        try:
            os.write(self._input.fileno(), question.encode("ascii") + b"\n")
        except BrokenPipeError:
            return False
        self.question, self.deadline = index, time.monotonic() + seconds
        return True

    def receive(self) -> str | None:
        """A whole line, "" if there is none yet, None if the process has ended."""
        received = os.read(self.fileno(), 4096)
        self._received += received
        line, newline, rest = self._received.partition(b"\n")
        if newline:
            self._received = rest
            return line.decode("ascii")
        return "" if received else None

    def end(self) -> str:
        """Kill the process and wait for it, so that none is left behind. Gives the answer to its question.

        A process that had ended of itself keeps its own exit code."""
        self._process.kill()
        code = self._process.wait()
        self._input.close()
        self._output.close()
        return TIMEOUT if code == _SPENT or time.monotonic() >= self.deadline else KILLED

    def let_go(self) -> None:
        """Close this process's ends of the pipes: for a child that inherited a worker of its parent."""
        self._process.returncode = 0  # it is the parent's to wait for
        self._input.close()
        self._output.close()


class Workers:
    """Processes that start when first needed and are replaced when they die (verifier/serving.py is their side).

    module, arguments   what they run: `python -m module arguments`
    count               how many at a time
    seconds             wall clock for one question, after which its process is killed
    """

    def __init__(self, module: str, arguments: Sequence[str], *, count: int, seconds: float):
        self._module, self._arguments = module, tuple(arguments)
        self._count, self._seconds = count, seconds
        self._alive: list[Worker] = []
        self._lock = threading.Lock()
        weakref.finalize(self, _end_all, self._alive)
        _EVERY.add(self)

    def ask(self, questions: Sequence[str]) -> list[str]:
        """The answer to each question, a line; TIMEOUT or KILLED for one that was the end of its process.

        Raises RuntimeError if processes do not start at all, and OSError on Windows, where a process cannot wait for
        several others at once."""
        if sys.platform == "win32":
            raise OSError("what is compared in processes of its own needs Linux or macOS: on Windows, use its WSL")
        with self._lock:
            try:
                return self._answers(questions)
            except BaseException:
                _end_all(self._alive)  # Ctrl-C: a busy worker's next answer would be taken for another question's
                raise

    def close(self) -> None:
        with self._lock:
            _end_all(self._alive)

    def forget(self) -> None:
        """After a fork, in the child: the workers are the parent's, and so is the thread that held the lock."""
        for worker in self._alive:
            worker.let_go()
        self._alive.clear()
        self._lock = threading.Lock()

    def _answers(self, questions: Sequence[str]) -> list[str]:
        answers: dict[int, str] = {}
        waiting = deque(range(len(questions)))
        failed_starts = 0
        while len(answers) < len(questions):
            while len(self._alive) < min(self._count, len(questions) - len(answers)):
                self._alive.append(Worker(self._module, self._arguments))
            for worker in [worker for worker in self._alive if worker.is_ready and worker.question is None]:
                if waiting and worker.ask(waiting[0], questions[waiting[0]], self._seconds):
                    waiting.popleft()
            for worker, line in self._lines():
                if line is None:
                    self._alive.remove(worker)
                    failed_starts += not worker.is_ready
                    reason = worker.end()
                    if worker.question is not None:
                        answers[worker.question] = reason
                    continue
                if worker.question is not None:
                    answers[worker.question] = line
                worker.is_ready, worker.question, worker.deadline = True, None, inf
            if failed_starts >= MOST_FAILED_STARTS:
                command = " ".join([sys.executable, "-m", self._module, *self._arguments])
                raise RuntimeError(f"{failed_starts} processes ended before they were ready; to see why:  {command}")
        return [answers[index] for index in range(len(questions))]

    def _lines(self) -> list[tuple[Worker, str | None]]:
        """Wait for lines of workers; None for one that has ended or is past its deadline."""
        nearest = max(0.0, min(worker.deadline for worker in self._alive) - time.monotonic())
        with DefaultSelector() as selector:
            for worker in self._alive:
                selector.register(worker, EVENT_READ, worker)
            events = selector.select(None if nearest == inf else nearest)
        lines: dict[Worker, str | None] = {key.data: key.data.receive() for key, _ in events}
        now = time.monotonic()
        lines |= {worker: None for worker in self._alive if worker not in lines and now >= worker.deadline}
        return [(worker, lines[worker]) for worker in self._alive if lines.get(worker, "") != ""]


def _end_all(workers: list[Worker]) -> None:
    while workers:
        workers.pop().end()


def _forget_all() -> None:
    for workers in list(_EVERY):
        workers.forget()


_EVERY: "weakref.WeakSet[Workers]" = weakref.WeakSet()
if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget_all)
