"""The display of a run: live on a terminal, one plain line a step anywhere else."""

import errno
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

from paring.runtime.gauges import Pace, gauges_by_task, gauges_for
from paring.runtime.glossary import Metrics
from paring.runtime.notebook import NotebookTable, is_notebook
from paring.runtime.text import one_line, visible

if TYPE_CHECKING:
    from rich.console import Console

_NO_READER = {errno.EPIPE, errno.EIO, errno.ESHUTDOWN}
_IN_EVERY_LINE = {"reward", "accuracy", "loss", "length", "kl"}


class Screen:
    """Shows the steps of a run on `file` (standard output unless given) or on a rich `console`.

    The display is live on a terminal that can move its cursor (TERM is not dumb) and shows UTF-8; in a notebook it is
    a table below the cell. rich respects NO_COLOR. Every text is taken as text, never as markup. `clock` counts
    seconds.
    """

    def __init__(
        self,
        file: IO[str] | None = None,
        *,
        console: "Console | None" = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._clock = clock
        self.is_closed = False
        """Whether the reader of the output has gone: a closed pipe or terminal."""
        if console is not None:
            out, is_live = console.file, console.is_terminal and not console.is_dumb_terminal
        else:
            out = sys.stdout if file is None else file
            shows_utf8 = (getattr(out, "encoding", None) or "").lower().replace("-", "") == "utf8"
            is_live = out.isatty() and shows_utf8 and os.environ.get("TERM", "dumb") != "dumb"
        self._out = out
        if console is None and out in (sys.stdout, sys.stderr) and is_notebook():
            self._display = NotebookTable()
        elif is_live:
            from paring.runtime.live import LiveDisplay  # late: rich takes time to import, a pipe has no use for it

            self._display = LiveDisplay(console, out)
        else:
            self._display = PlainLines(out)

    def start(self, title: str, total_steps: int, done: int = 0, *, history: Sequence[Metrics] = ()) -> None:
        """Begin a run of `total_steps`, of which `done` were made before; `history` are the metrics of those."""
        with self._until_closed():
            self._display.start(visible(title), Pace(total_steps, done, self._clock), history)

    def phase(self, name: str) -> None:
        """The part of a step that begins, such as "rollout". A live display says for how long it has gone on."""
        with self._until_closed():
            self._display.phase(name)

    def sample(self, question: str, answer: str, reward: float) -> None:
        """An answer of the last step. A live display shows it; texts of a model are made harmless."""
        with self._until_closed():
            self._display.sample(f"{one_line(question, 200)} -> {one_line(answer, 300)}  (reward {reward:.3g})")

    def step(self, metrics: Metrics) -> None:
        """Show the metrics of a step, "step" among them."""
        with self._until_closed():
            self._display.step(metrics)

    def note(self, text: str) -> None:
        """Say something in passing, before, during or after the steps."""
        with self._until_closed():
            self._display.note(visible(text))

    def finish(self) -> None:
        """Leave the terminal in order. Harmless if nothing was started."""
        with self._until_closed():
            self._display.finish()

    @contextmanager
    def _until_closed(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in _NO_READER:
                raise
            self.is_closed = True
            if self._out is sys.stdout:
                _leave_standard_output()


def _leave_standard_output() -> None:
    """Let whatever else is printed, and what the interpreter still holds at its end, vanish without an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError):  # a file without a descriptor
        os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


class PlainLines:
    """One line a step: for a file, a pipe, or a terminal that can do no more. What is unhealthy is marked."""

    def __init__(self, file: IO[str]):
        self._file = file

    def start(self, title: str, pace: Pace, history: Sequence[Metrics]) -> None:
        self._pace = pace
        self.note(title)

    def phase(self, name: str) -> None:
        """A line a step has no room for it."""

    def sample(self, text: str) -> None:
        """Answers stand in samples.jsonl."""

    def step(self, metrics: Metrics) -> None:
        self._pace.advance(metrics["step"])
        parts = [f"step {self._pace.done}/{self._pace.total}"]
        for gauge in gauges_for(metrics):
            value = metrics[gauge.name]
            alarm = gauge.mark(value) == "!"
            if alarm or gauge.name in _IN_EVERY_LINE:
                parts.append(f"{'! ' if alarm else ''}{gauge.label} {gauge.text(value)}")
        parts += [f"{label}: {' '.join(texts)}" for label, texts in gauges_by_task(metrics)]
        if "seconds" in metrics:
            parts.append(f"{metrics['seconds']:.2f} s")
        self.note("  ".join([*parts, self._pace.left_text()]))

    def note(self, text: str) -> None:
        encoding = getattr(self._file, "encoding", None) or "utf-8"
        print(text.encode(encoding, "backslashreplace").decode(encoding), file=self._file, flush=True)

    def finish(self) -> None:
        pass
