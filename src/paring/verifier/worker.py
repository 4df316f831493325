"""A process that compares what takes algebra. It limits its own memory, files and time, so that it ends in any case."""

import os
import sys
from collections.abc import Callable
from functools import partial

from paring.verifier.serving import killed_after, serve

NO_MEMORY = 3
"""The exit code of a process that ran out of memory."""
_WARMING = (r"\frac{\sqrt{2}}{2}+x^{2}", r"\frac{1}{\sqrt{2}}+x \cdot x")


def prepare(seconds: float, memory_mb: int) -> Callable[[dict[str, str]], str]:
    """The answers of this process: a word of `Why` for {"kind", "gold", "answer"}. Its limits hold from here on."""
    if sys.platform != "win32":  # Windows has no such limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory_mb * 2**20, memory_mb * 2**20))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    from paring.verifier.golds import KINDS, Gold
    from paring.verifier.symbols import MathVerify
    from paring.verifier.verdicts import compare

    algebra = MathVerify()
    algebra.equal(*_WARMING)

    def answer(question: dict[str, str]) -> str:
        try:
            with killed_after(seconds):
                return compare(Gold(KINDS[question["kind"]], question["gold"]), question["answer"], algebra)
        except MemoryError:
            os._exit(NO_MEMORY)  # what is left of this process cannot be trusted

    return answer


if __name__ == "__main__":
    serve(partial(prepare, float(sys.argv[1]), int(sys.argv[2])))
