"""Signals as requests: save at the next boundary and end, or save and go on. A second request to end acts at once.

The words come from a thread, woken by the system itself: the main thread may be in a product of seconds."""

import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Self

from paring.runtime.forks import before_signals_in_child

_CODES = {"SIGHUP": 129, "SIGINT": 130, "SIGPIPE": 141, "SIGTERM": 143}
"""Exit codes, as shells expect them. SIGPIPE stands for a reader of our output that has gone."""
_ENDING, _SAVING = ("SIGHUP", "SIGINT", "SIGTERM"), "SIGUSR1"
_ECHO_SECONDS = 0.3
"""`timeout` and terminals send a signal to a process and to its group: the same one within this time is one request."""
_POLL_SECONDS = 0.5
_ELSEWHERE = float("inf")  # the time of a first signal that came to another process of the run
_leave_at_once = os._exit
"""... also while code of the user's own runs, for which `os._exit` is another function (settings.guard)."""
_Handler = Callable[[int, FrameType | None], object] | int | None


class Interrupted(BaseException):
    """A wait was given up, since the process is to end. What was done before the wait can be saved."""


class Interruption:
    """Poll `requested` at each boundary, and `save_asked`, after which `saved` is due. Outside the main thread no
    signal can be caught: the file alone is seen.

    at_stake     what an end at once would lose, in words
    save_file    a file by which a user asks for a save; it is removed when that is done
    is_quiet     another process of the run says what is heard"""

    def __init__(self, at_stake: str = "a step", *, save_file: Path | None = None, is_quiet: bool = False) -> None:
        self.at_stake, self._save_file, self._is_quiet, self.waits = at_stake, save_file, is_quiet, 0
        self.requested: str | None = None
        self._previous: dict[int, _Handler] = {}
        self._first: tuple[str, float] | None = None
        self._told = self._save_told = self._save_signalled = False
        self._end, self._telling = threading.Lock(), threading.Lock()
        self._watcher: threading.Thread | None = None

    @property
    def exit_code(self) -> int:
        """129 after SIGHUP, 130 after SIGINT, 141 where the output has no reader, 143 after SIGTERM; else 0."""
        return 0 if self.requested is None else _CODES[self.requested]

    @property
    def heard(self) -> str | None:
        """The signal by which this process is to end, also while its main thread cannot act on it."""
        return self.requested or (self._first and self._first[0])

    def hear_of(self, name: str) -> None:
        """In a thread: act on a signal that came to another process of the run. It is no second one if it comes."""
        if self._watcher is not None:
            self._first = (name, _ELSEWHERE)
            if sys.platform != "win32":
                signal.pthread_kill(threading.main_thread().ident or 0, signal.Signals[name])
            else:
                signal.raise_signal(signal.Signals[name])

    @property
    def save_asked(self) -> bool:
        return self._save_signalled or (self._save_file is not None and os.path.lexists(self._save_file))

    def saved(self) -> None:
        """The save that was asked for is done, and its words have been said."""
        with self._telling:
            self._tell_of_save()
            self._save_signalled = self._save_told = False
            if self._save_file is not None:
                self._save_file.unlink(missing_ok=True)

    def end_without_reader(self) -> None:
        """Whoever read our output has gone, and with it the reason to go on."""
        if self.requested is None:
            self.requested = "SIGPIPE"
            self._say("nobody reads the output any more: saving, then ending")

    def __enter__(self) -> Self:
        global _active
        if threading.current_thread() is threading.main_thread():
            known = [signal.Signals[name] for name in (*_ENDING, _SAVING) if name in signal.Signals.__members__]
            # What is ignored stays so: nohup asks for that, and shells for what they start behind their backs.
            heeded = [number for number in known if signal.getsignal(number) != signal.SIG_IGN]
            self._previous = {number: signal.signal(number, self._on_signal) for number in heeded}
            ending = [number for number in heeded if number.name in _ENDING]
            self._ear, self._voice = socket.socketpair()
            self._voice.setblocking(False)
            self._wakeup = signal.set_wakeup_fd(self._voice.fileno(), warn_on_full_buffer=False)
            self._watcher = threading.Thread(target=self._watch, args=(ending,), name="signals", daemon=True)
            self._watcher.start()
            self._outer, _active = _active, self
        return self

    def __exit__(self, *_: object) -> None:
        global _active
        if self._watcher is None:
            return
        self._let_go()
        self._voice.close()
        self._watcher.join()
        self._ear.close()
        self._watcher, _active = None, self._outer

    def _let_go(self) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._previous.items():
            # None stands for a handler that was not installed from Python and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous = {}

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if name == _SAVING:
            self._save_signalled = True
        elif self.requested is None:
            self.requested = name
            self._first = self._first or (name, time.monotonic())
            if self.waits:
                raise Interrupted(name)
        elif self._is_second(name):
            self._end_at_once()

    def _is_second(self, name: str) -> bool:
        """Whether a signal after the first is one more request, and not its echo; a terminal may hang up twice."""
        first, since = self._first or (name, _ELSEWHERE)
        if since == _ELSEWHERE:
            self._first = (name, time.monotonic())
            return False
        return name != "SIGHUP" and (name != first or time.monotonic() - since > _ECHO_SECONDS)

    def _end_at_once(self) -> None:
        if self._end.acquire(blocking=False):
            self._say(f"ended at once; lost: {self.at_stake}")
            _leave_at_once(_CODES[self.heard or "SIGTERM"])

    def _watch(self, ending: Container[int]) -> None:
        while True:
            ready, _, _ = select.select([self._ear], [], [], _POLL_SECONDS)
            numbers = self._ear.recv(64) if ready else b""
            if ready and not numbers:
                return
            for number in filter(ending.__contains__, numbers):
                self._heard(signal.Signals(number).name)
            with self._telling:
                self._tell_of_save()

    def _tell_of_save(self) -> None:
        if self.save_asked and not self._save_told:
            self._save_told = True
            self._say("saving after the step in hand, then going on")

    def _heard(self, name: str) -> None:
        if not self._told:
            self._first, self._told = self._first or (name, time.monotonic()), True
            self._say(
                f"{name}: saving, then ending; an update in hand is finished first, any other wait is given up. "
                f"A second signal ends at once and loses {self.at_stake}"
            )
        elif self._is_second(name):
            self._end_at_once()

    def _say(self, words: str) -> None:
        if self._is_quiet:
            return
        start = "\n" if sys.stderr is not None and sys.stderr.isatty() else ""
        with suppress(OSError, ValueError):
            os.write(2, f"{start}{words}\n".encode())


_active: Interruption | None = None
"""Signals belong to the process, so there is one."""
_own = threading.local()
"""The event by which each thread is given up."""


def is_interrupted() -> bool:
    """Whether this process is to end."""
    return _active is not None and _active.requested is not None


def check_interrupted() -> None:
    """For loops that wait in threads other than the main one, where no signal is raised. Raises Interrupted."""
    if _active is not None and _active.requested is not None:
        raise Interrupted(_active.requested)
    given_up: threading.Event | None = getattr(_own, "given_up", None)
    if given_up is not None and given_up.is_set():
        raise Interrupted("given up")


@contextmanager
def given_up_by(event: threading.Event) -> Iterator[None]:
    """In the thread that is here, waits are given up as well once the event is set."""
    _own.given_up = event
    try:
        yield
    finally:
        _own.given_up = None


@contextmanager
def waiting() -> Iterator[None]:
    """What is done here changes nothing that is saved: an interruption gives it up at once. Raises Interrupted."""
    active = _active
    if active is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    active.waits += 1
    try:
        if active.requested is not None:
            raise Interrupted(active.requested)
        yield
    finally:
        active.waits -= 1


@contextmanager
def finishing() -> Iterator[None]:
    """What is done here comes to its end, also within a wait: other processes are in the midst of it."""
    active = _active if threading.current_thread() is threading.main_thread() else None
    if active is None:
        yield
        return
    waits, active.waits = active.waits, 0
    try:
        yield
    finally:
        active.waits = waits


def _let_go_in_child() -> None:
    """A forked child takes the signals that its program would have without us: it can be terminated."""
    global _active
    if _active is not None:
        _active._let_go()
        _active = None


before_signals_in_child(_let_go_in_child)
