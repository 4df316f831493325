"""The side of a process that is asked (verifier/workers.py): one line of JSON in, one line of text out."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def serve(prepare: Callable[[], Callable[[Any], str]]) -> None:
    """Say that this process is ready once `prepare` has given what answers, then answer each question.

    Ends when its input does, so with the parent. Only the answers reach it: what a library prints goes nowhere.
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
