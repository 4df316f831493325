"""A worker process: reads questions as lines of JSON, answers each with one word. Started by verifier/workers.py.

It limits itself, so that it ends even if whoever started it is gone: memory and files by the kernel, processor time
by a timer whose signal kills. It ends when its input does.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

NO_MEMORY = 3
"""The exit code of a worker that ran out of memory."""
_WARMING = (r"\frac{\sqrt{2}}{2}+x^{2}", r"\frac{1}{\sqrt{2}}+x \cdot x")


def main(seconds: float, memory_mb: int) -> None:
    # Only this file descriptor speaks to the parent: what a library prints goes nowhere.
    replies = os.fdopen(os.dup(1), "w", encoding="ascii")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit = memory_mb * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    from paring.verifier.kinds import Gold
    from paring.verifier.symbols import MathVerify
    from paring.verifier.verdicts import compare

    algebra = MathVerify()
    algebra.equal(*_WARMING)
    print("ready", file=replies, flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        try:
            with killed_after(seconds):
                why = compare(Gold(question["kind"], question["gold"]), question["answer"], algebra)
        except MemoryError:
            os._exit(NO_MEMORY)  # what is left of this process cannot be trusted
        print(why, file=replies, flush=True)


@contextmanager
def killed_after(seconds: float) -> Iterator[None]:
    """The kernel ends this process after so much processor time, also within C code that holds the interpreter."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
