"""The live display of a run on a terminal: progress, time left and the health of the training."""

from collections.abc import Sequence
from typing import IO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from paring.runtime.gauges import TRENDS, Pace, gauges_by_task, gauges_for, trend
from paring.runtime.glossary import Metrics, is_number
from paring.runtime.text import duration

_STYLES = {"✓": "green", "!": "bold red", " ": ""}
_CELLS_IN_A_ROW = 6  # two gauges: mark, label and value
TREND_WIDTH = 40
"""Characters of a curve."""


class LiveDisplay:
    """Redrawn in place four times a second. Texts must be harmless already (`screen.visible`)."""

    def __init__(self, console: Console | None, file: IO[str]):
        self._console = Console(file=file) if console is None else console
        self._live: Live | None = None
        self._metrics: Metrics = {}
        self._courses: dict[str, list[float]] = {}
        self._phase = ("", 0.0)
        self._sample = ""

    def start(self, title: str, pace: Pace, history: Sequence[Metrics]) -> None:
        self._courses = {}
        for metrics in history:
            self._remember(metrics)
        self._title = Text(title, style="bold", no_wrap=True, overflow="ellipsis")
        self._pace = pace
        self._live = Live(self, console=self._console, refresh_per_second=4)
        self._live.start()
        # A run that is killed cannot bring the cursor back, so it stays.
        self._console.show_cursor(True)

    def step(self, metrics: Metrics) -> None:
        self._pace.advance(metrics["step"])
        self._remember(metrics)
        self._phase = ("", 0.0)
        if self._live is not None:
            self._live.refresh()

    def phase(self, name: str) -> None:
        self._phase = (name, self._pace.elapsed())

    def sample(self, text: str) -> None:
        self._sample = text

    def note(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)

    def finish(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __rich__(self) -> Group:
        pace = self._pace
        times = f"step {pace.done}/{pace.total}  elapsed {duration(pace.elapsed())}  {pace.left_text()}"
        name, since = self._phase
        times += f"  {name} {duration(pace.elapsed() - since)}" if name else ""
        progress = Table.grid(padding=(0, 2))
        progress.add_row(ProgressBar(total=max(1, pace.total), completed=pace.done, width=30), Text(times))
        cells = []
        for gauge in gauges_for(self._metrics):
            value = self._metrics[gauge.name]
            mark = gauge.mark(value)
            cells += [Text(mark, style=_STYLES[mark]), Text(gauge.label), Text(gauge.text(value), justify="right")]
        health = Table.grid(padding=(0, 2))
        for start in range(0, len(cells), _CELLS_IN_A_ROW):
            health.add_row(*cells[start : start + _CELLS_IN_A_ROW])
        courses = Table.grid(padding=(0, 2))
        labels = {gauge.name: gauge for gauge in gauges_for(self._metrics)}
        for name, values in self._courses.items():
            if name in labels and len(values) > 1:
                gauge = labels[name]
                low, high = gauge.text(min(values)), gauge.text(max(values))
                courses.add_row("", Text(gauge.label), Text(trend(values, TREND_WIDTH)), Text(f"{low} to {high}"))
        tasks = Table.grid(padding=(0, 2))
        for label, texts in gauges_by_task(self._metrics):
            tasks.add_row("", Text(label), *(Text(text, justify="right") for text in texts))
        sample = Text(self._sample, style="dim", no_wrap=True, overflow="ellipsis")
        shown = [self._title, progress, health, *([tasks] if tasks.row_count else []), courses]
        return Group(*shown, *([sample] if self._sample else []))

    def _remember(self, metrics: Metrics) -> None:
        self._metrics = metrics
        for name in TRENDS:
            if is_number(value := metrics.get(name)):
                self._courses.setdefault(name, []).append(float(value))
