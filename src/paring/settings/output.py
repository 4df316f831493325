"""What code of the user's own writes: a bounded number of characters in a call, and words of ours beside them."""

import contextlib
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

MOST_OUTPUT = 4000
"""Characters that it may write in a call; more are counted and left out."""


class _Output(io.TextIOBase):
    """A stream that passes on so many characters, and counts the rest."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.written = stream, 0

    def write(self, text: str) -> int:
        room = MOST_OUTPUT - self.written
        self.written += len(text)
        if room > 0:
            self.stream.write(text[:room])
        return len(text)

    def flush(self) -> None:
        self.stream.flush()

    def close(self) -> None:
        """The stream is not the user's to close."""

    def isatty(self) -> bool:
        return self.stream.isatty()

    def fileno(self) -> int:
        return self.stream.fileno()

    @property
    def buffer(self) -> object:
        return self.stream.buffer

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]  of a stream that encodes
        return self.stream.encoding


@contextmanager
def bounded_output(what: str) -> Iterator[None]:
    """Standard output and error pass on so many characters; how many more there were is said."""
    if sys.stdout is None or sys.stderr is None:
        yield
        return
    streams = _Output(sys.stdout), _Output(sys.stderr)
    try:
        with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
            yield
    finally:
        left_out = sum(max(0, stream.written - MOST_OUTPUT) for stream in streams)
        if left_out:
            say(f"\n{what} wrote {left_out:,} characters more in one call: left out")


def say(words: str) -> None:
    """To the screen, also where the user's streams stand before it."""
    stream = sys.stderr
    while isinstance(stream, _Output):
        stream = stream.stream
    with contextlib.suppress(OSError, ValueError):
        print(words, file=stream, flush=True)
