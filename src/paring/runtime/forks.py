"""Signals that come while a process forks: its child takes none before it has let go of its parent's handlers."""

import os
import signal
import sys
import threading
from collections.abc import Callable

_mask = threading.local()
"""The signals that a thread blocked before it forked."""


def before_signals_in_child(let_go: Callable[[], None]) -> None:
    """Have every forked child call `let_go` first. A signal that reached it before would be told to its parent, as if
    it were the parent's own."""

    def in_child() -> None:
        let_go()
        _free()

    if sys.platform != "win32":
        os.register_at_fork(before=_hold, after_in_parent=_free, after_in_child=in_child)


def _hold() -> None:
    if sys.platform != "win32":
        _mask.before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP, signal.SIGINT, signal.SIGTERM))


def _free() -> None:
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_SETMASK, _mask.before)
