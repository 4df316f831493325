"""Worker processes that may be killed at any time: each holds one question, and its death costs that question only."""

import json
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

from paring.verifier.kinds import Gold
from paring.verifier.verdicts import Why

START_SECONDS = 120
"""Wall clock within which a worker must be ready; loading math-verify takes about one second of it."""
WALL_FACTOR = 10
"""A worker is killed at this many times its processor time by the clock, in case it is stopped or starved."""
MOST_FAILED_STARTS = 3

Question = tuple[Gold, str]


class Worker:
    """One process, from its start to its end: starting, idle, or busy with one question until a deadline."""

    def __init__(self, seconds: float, memory_mb: int):
        root = str(Path(__file__).parents[2])
        paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        command = [sys.executable, "-P", "-B", "-m", "paring.verifier.worker", str(seconds), str(memory_mb)]
        # A session of its own: Ctrl-C in the terminal is for the parent, which ends its workers itself.
        self._process = Popen(
            command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        )
        self.is_ready = False
        self.asked: int | None = None
        self.deadline = time.monotonic() + START_SECONDS
        self._seconds = seconds
        self._received = b""

    def fileno(self) -> int:
        return self._process.stdout.fileno()

    def ask(self, index: int, question: Question) -> bool:
        """Whether the question reached the process; not if it has ended, which the next word heard of it says."""
        gold, answer = question
        line = json.dumps({"kind": gold.kind, "gold": gold.text, "answer": answer}) + "\n"
        try:
            os.write(self._process.stdin.fileno(), line.encode("ascii"))
        except BrokenPipeError:
            return False
        self.asked, self.deadline = index, time.monotonic() + WALL_FACTOR * self._seconds
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

    def end(self) -> Why:
        """Kill the process and wait for it, so that none is left behind. Says what became of its question.

        A process that had ended of itself keeps its own exit code."""
        self._process.kill()
        code = self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
        return "timeout" if code == -signal.SIGPROF or time.monotonic() >= self.deadline else "killed"

    def let_go(self) -> None:
        """Close this process's ends of the pipes: for a child that inherited a worker of its parent."""
        self._process.returncode = 0  # it is the parent's to wait for
        self._process.stdin.close()
        self._process.stdout.close()


class Workers:
    """A number of workers that start when first needed, and are replaced when they die."""

    def __init__(self, count: int, seconds: float, memory_mb: int):
        self._count, self._seconds, self._memory_mb = count, seconds, memory_mb
        self._alive: list[Worker] = []
        self._lock = threading.Lock()
        self._finalizer = weakref.finalize(self, _end_all, self._alive)
        _EVERY.add(self)

    def ask(self, questions: Sequence[Question]) -> list[Why]:
        """The word for each question. Raises RuntimeError if workers do not start at all."""
        with self._lock:
            try:
                return self._answers(questions)
            except BaseException:
                _end_all(self._alive)  # Ctrl-C: a busy worker's next reply would be taken for another question's
                raise

    def close(self) -> None:
        with self._lock:
            _end_all(self._alive)

    def forget(self) -> None:
        """After a fork, in the child: the workers are the parent's, and so is whoever held the lock."""
        for worker in self._alive:
            worker.let_go()
        self._alive.clear()
        self._lock = threading.Lock()

    def _answers(self, questions: Sequence[Question]) -> list[Why]:
        answers: dict[int, Why] = {}
        waiting = deque(range(len(questions)))
        failed_starts = 0
        while len(answers) < len(questions):
            while len(self._alive) < min(self._count, len(questions) - len(answers)):
                self._alive.append(Worker(self._seconds, self._memory_mb))
            for worker in [worker for worker in self._alive if worker.is_ready and worker.asked is None]:
                if waiting and worker.ask(waiting[0], questions[waiting[0]]):
                    waiting.popleft()
            for worker, line in self._heard():
                if line is None:
                    self._alive.remove(worker)
                    why = worker.end()
                    failed_starts += not worker.is_ready
                    if worker.asked is not None:
                        answers[worker.asked] = why
                elif not worker.is_ready:
                    worker.is_ready, worker.deadline = True, inf
                else:
                    answers[worker.asked], worker.asked = line, None
                    worker.deadline = inf
            if failed_starts >= MOST_FAILED_STARTS:
                raise RuntimeError(
                    f"{failed_starts} worker processes ended before they were ready; to see why:  "
                    f"{sys.executable} -m paring.verifier.worker {self._seconds} {self._memory_mb}"
                )
        return [answers[index] for index in range(len(questions))]

    def _heard(self) -> list[tuple[Worker, str | None]]:
        """Wait for words of workers; None of one that has ended or is past its deadline."""
        nearest = max(0.0, min(worker.deadline for worker in self._alive) - time.monotonic())
        with DefaultSelector() as selector:
            for worker in self._alive:
                selector.register(worker, EVENT_READ, worker)
            heard = {
                id(key.data): key.data.receive() for key, _ in selector.select(None if nearest == inf else nearest)
            }
        now = time.monotonic()
        overdue = {id(worker): None for worker in self._alive if id(worker) not in heard and now >= worker.deadline}
        said = heard | overdue
        return [(worker, said[id(worker)]) for worker in self._alive if said.get(id(worker), "") != ""]


def _end_all(workers: list[Worker]) -> None:
    while workers:
        workers.pop().end()


def _forget_all() -> None:
    for workers in list(_EVERY):
        workers.forget()


_EVERY: "weakref.WeakSet[Workers]" = weakref.WeakSet()
os.register_at_fork(after_in_child=_forget_all)
