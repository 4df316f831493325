"""The bounds within which code of the user's own runs: it cannot end, move, multiply or flood a run in silence."""

import contextlib
import ctypes
import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from paring.settings.output import bounded_output, say

SLOW_SECONDS = 60.0
"""After so long, and again after as long, it is said what a run waits for."""
GRACE_SECONDS = 5.0
"""Code that goes on for so long after its time limit, since it catches what stops it, ends the process."""
C_SECONDS = 30.0
"""... and so long where it is within one call of a library that lets nothing else run."""
_KEPT = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGPROF")
_leave = os._exit
"""The way out of the process, which is another one while code of the user's runs."""


_one_at_a_time = threading.RLock()
"""Everything that is put back afterwards belongs to the process: calls from several threads follow one another."""

_left: list[threading.Thread] = []
"""Threads that code of the user's has left running."""


class TimeIsUp(BaseException):
    """Raised within code of the user's own whose time is up: no Exception, so that it is not caught by the way."""


@contextmanager
def guarded(what: str, *, seconds: float | None = None) -> Iterator[None]:
    """Code of the user's runs here, as `what`, for at most `seconds`; 0 or None: without a limit. It can neither end
    the process nor move it to another folder; a child that it forks does not come back as a second run; handlers of
    signals are put back; its output is bounded; that it takes long, or leaves threads behind, is said.

    Raises ValueError where it would end the process, and TimeoutError where its time is up."""
    with _one_at_a_time, _guarded(what, seconds):
        yield


@contextmanager
def _guarded(what: str, seconds: float | None) -> Iterator[None]:
    process, place, leave = os.getpid(), _working_folder(), os._exit

    def refused(code: int) -> NoReturn:
        if os.getpid() == process:
            raise ValueError(f"it called os._exit({code}), which would end the run: return or raise instead")
        leave(code)

    os._exit = refused
    threads = set(threading.enumerate())
    limit = _Limit(what, seconds or None)
    try:
        with bounded_output(what), _real_interruptions(what), _handlers_kept(what), limit:
            yield
    except SystemExit as error:
        if os.getpid() == process:
            words = f"{what} called sys.exit({error.code!r}), which would end the run: return or raise instead"
            raise ValueError(words) from None
        raise
    except TimeIsUp:
        raise TimeoutError(f"{what} has taken longer than {seconds:g} s") from None
    finally:
        os._exit = leave
        if os.getpid() != process:
            os.write(2, f"{what} forked a process that came back: it is ended here\n".encode())
            leave(1)
        if place is not None and place != _working_folder():
            os.chdir(place)
        left = [one for one in threading.enumerate() if one not in threads and one is not limit.watcher]
        if stuck := [one.name for one in left if not one.daemon and not one.name.startswith("ThreadPoolExecutor")]:
            say(f"{what} left threads running: {', '.join(stuck[:5])}")
            _left.extend(left)


def end_in_time(code: int) -> None:
    """The process is about to end. Threads that code of the user's has left cannot keep it for long."""
    if any(thread.is_alive() for thread in _left):
        threading.Thread(target=_end_after_grace, args=(code,), name="end", daemon=True).start()


def _end_after_grace(code: int) -> None:
    time.sleep(GRACE_SECONDS)
    names = ", ".join(thread.name for thread in _left if thread.is_alive())
    say(f"threads that code of your own has left do not end: {names}. The process ends without them")
    _leave(code)


class _Limit:
    """The clock of a call. A thread watches it, and interrupts the calling thread: the main one by a signal, which also
    ends a wait, another one between two of its steps. The processor's clock interrupts code that keeps the interpreter
    to itself but heeds signals, such as a regular expression. What heeds none of them ends the process, with the place
    where it hangs."""

    def __init__(self, what: str, seconds: float | None) -> None:
        self.what, self.seconds, self.process = what, seconds, os.getpid()
        self.done = threading.Event()
        self.caller = threading.get_ident()
        self.is_main = threading.current_thread() is threading.main_thread()
        self.watcher = threading.Thread(target=self._watch, name="time limit", daemon=True)

    def __enter__(self) -> None:
        self.begun = time.monotonic()
        self.watcher.start()
        if self.seconds is None:
            return
        if self.is_main and sys.platform != "win32":
            self.before = signal.signal(signal.SIGPROF, self._on_signal)
            signal.setitimer(signal.ITIMER_PROF, self.seconds, 1.0)
        faulthandler.dump_traceback_later(self.seconds + C_SECONDS, exit=True, file=2)  # notebooks have another stderr

    def __exit__(self, *_: object) -> None:
        self.done.set()
        if self.seconds is None or os.getpid() != self.process:  # a forked child has none of the threads to wait for
            return
        faulthandler.cancel_dump_traceback_later()
        if self.is_main and sys.platform != "win32":
            signal.setitimer(signal.ITIMER_PROF, 0)
            self.watcher.join()  # its signal must not come once the handler has gone
            signal.signal(signal.SIGPROF, self.before or signal.SIG_DFL)

    def _watch(self) -> None:
        said = self.begun
        while not self.done.wait(self._next_look(said)):
            passed = time.monotonic() - self.begun
            if time.monotonic() - said >= SLOW_SECONDS:
                said = time.monotonic()
                say(f"waiting for {self.what}: {passed:.0f} s so far")
            if self.seconds is None or passed < self.seconds:
                continue
            if passed > self.seconds + GRACE_SECONDS:
                say(f"{self.what} does not end {GRACE_SECONDS:g} s after its time limit of {self.seconds:g} s: ended")
                _leave(1)
            self._interrupt()

    def _next_look(self, said: float) -> float:
        looks = [said + SLOW_SECONDS - time.monotonic()]
        if self.seconds is not None:
            left = self.begun + self.seconds - time.monotonic()
            looks.append(left if left > 0 else 1.0)
        return max(0.0, min(looks))

    def _interrupt(self) -> None:
        if self.is_main and sys.platform != "win32":
            with contextlib.suppress(ProcessLookupError):
                signal.pthread_kill(self.caller, signal.SIGPROF)
        else:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.caller), ctypes.py_object(TimeIsUp))

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.seconds is not None and time.monotonic() - self.begun >= self.seconds and not self.done.is_set():
            raise TimeIsUp


@contextmanager
def _real_interruptions(what: str) -> Iterator[None]:
    """KeyboardInterrupt is one only where a signal has come. Code that raises it itself fails as by sys.exit."""
    came = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def heard(number: int, frame: FrameType | None) -> None:
        came.set()
        if callable(before):
            before(number, frame)

    is_heard = threading.current_thread() is threading.main_thread() and callable(before)
    if is_heard:
        signal.signal(signal.SIGINT, heard)
    try:
        yield
    except KeyboardInterrupt:
        if came.is_set():
            raise
        raise ValueError(f"{what} raised KeyboardInterrupt, which would end the run: return or raise instead") from None
    finally:
        if is_heard and signal.getsignal(signal.SIGINT) is heard:
            signal.signal(signal.SIGINT, before)


@contextmanager
def _handlers_kept(what: str) -> Iterator[None]:
    """Handlers of signals are the same afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    process = os.getpid()
    before = {number: signal.getsignal(number) for name in _KEPT if (number := getattr(signal, name, None)) is not None}
    try:
        yield
    finally:
        changed = [number for number, handler in before.items() if signal.getsignal(number) != handler]
        if os.getpid() == process and changed:
            for number in changed:
                signal.signal(number, before[number] or signal.SIG_DFL)
            say(f"{what} changed what {', '.join(number.name for number in changed)} does: put back")


def _working_folder() -> str | None:
    """None where it has been removed."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None
