"""The progress of a study: one live display on a terminal, one line as a run begins or ends anywhere else."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from paring.runtime.gauges import Pace, duration
from paring.runtime.text import visible


@dataclass(frozen=True)
class Tally:
    """How far a study is. `running`: name -> steps made and steps of each run under way."""

    runs: int
    finished: int
    without_result: int
    steps_done: int
    running: dict[str, tuple[int, int]]

    def __str__(self) -> str:
        left = self.runs - self.finished - self.without_result - len(self.running)
        words = f"{self.finished} of {self.runs} runs finished, {len(self.running)} running, {left} left"
        return words + (f", {self.without_result} without a result" if self.without_result else "")


class StudyScreen:
    """Texts are never read as markup. `clock` counts seconds."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console or Console()
        self._clock = clock
        self._live: Live | None = None

    def start(self, title: str, steps: int, tally: Tally) -> None:
        """Begin a study of so many training steps in all."""
        self._title, self._tally = visible(title), tally
        self._pace = Pace(steps, tally.steps_done, self._clock)
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(self, console=self._console, refresh_per_second=2)
            self._live.start()
            # A study that is killed cannot bring the cursor back, so it stays.
            self._console.show_cursor(True)
        else:
            self.note(f"{title}: {tally}")

    def update(self, tally: Tally) -> None:
        self._tally = tally
        if tally.steps_done != self._pace.done:
            self._pace.advance(tally.steps_done)

    def note(self, text: str) -> None:
        """Print a line above the display."""
        self._console.print(Text(visible(text)), soft_wrap=True)

    def ended(self, text: str) -> None:
        """Print the end of a run, and how long the rest will take."""
        self.note(text if self._live else f"{text}; {self._tally}, {self._pace.left_text()}")

    def finish(self) -> None:
        """Leave the terminal in order. Harmless if nothing was started."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __rich__(self) -> Group:
        pace = self._pace
        table = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=max(1, pace.total), completed=pace.done, width=30)
        table.add_row(bar, Text(f"elapsed {duration(pace.elapsed())}  {pace.left_text()}"))
        for name, (step, steps) in self._tally.running.items():
            table.add_row(Text(visible(name)), Text(f"step {step}/{steps}"))
        return Group(Text(self._title, style="bold"), Text(str(self._tally)), table)
