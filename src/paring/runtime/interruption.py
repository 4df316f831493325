"""Ctrl+C and SIGTERM as a request: the loop finishes its step and saves. A second one ends the process at once."""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_Handler = Callable[[int, FrameType | None], object] | int | None


class Interruption:
    """Poll `requested` at the end of each step. Outside the main thread no signal can be caught: it stays None."""

    def __init__(self) -> None:
        self.requested: str | None = None
        self._previous: dict[signal.Signals, _Handler] = {}

    @property
    def exit_code(self) -> int:
        """130 after SIGINT, 143 after SIGTERM, as shells expect; 0 if nothing was requested."""
        return 0 if self.requested is None else 128 + signal.Signals[self.requested]

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            # None stands for a handler that was not installed from Python and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous = {}

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.requested is not None:
            os._exit(self.exit_code)
        self.requested = signal.Signals(number).name
