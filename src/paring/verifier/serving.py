"""The side of a worker process (verifier/workers.py): one line of JSON in, one line of text out."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def serve(prepare: Callable[[], Callable[[dict[str, str]], str]]) -> None:
    """Print that this process is ready once `prepare` has returned, then answer each question.

    It ends with its input, and so with the parent. Only the answers reach the parent: a library's prints go nowhere.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answer = prepare()
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        print(answer(json.loads(line)), file=answers, flush=True)


@contextmanager
def killed_after(seconds: float) -> Iterator[None]:
    """The kernel ends this process after so much processor time, also within C code that holds the interpreter.
    Windows counts no processor time: there the clock on the wall ends it, on the other side."""
    if sys.platform == "win32":
        yield
        return
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
