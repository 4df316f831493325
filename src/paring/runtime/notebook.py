"""The display of a run in a notebook: one table below the cell, which is drawn again after each step."""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from paring.runtime.gauges import TRENDS, Pace, gauges_for, trend
from paring.runtime.glossary import Metrics, is_number
from paring.runtime.tables import Table, plain_html
from paring.runtime.text import duration

TREND_WIDTH = 40
MOST_NOTES = 20
Show = Callable[[str], Callable[[str], object]]
"""Puts HTML below the cell, and gives what puts other HTML in its place."""


def is_notebook() -> bool:
    """Whether this code runs in a kernel that shows HTML."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None) is not None


def show_html(html: str) -> Callable[[str], object]:
    """See Show."""
    display = import_module("IPython.display")
    handle = display.display(display.HTML(html), display_id=True)
    return lambda other: handle.update(display.HTML(other))


class NotebookTable:
    """A row a metric: its value, its mark, and its course. Every text is taken as text."""

    def __init__(self, show: Show = show_html) -> None:
        self._show = show
        self._update: Callable[[str], object] | None = None
        self._title = self._sample = ""
        self._pace: Pace | None = None
        self._notes: list[str] = []
        self._metrics: Metrics = {}
        self._courses: dict[str, list[float]] = {}

    def start(self, title: str, pace: Pace, history: Sequence[Metrics]) -> None:
        self._title, self._pace, self._courses = title, pace, {}
        for metrics in history:
            self._remember(metrics)
        self._draw()

    def phase(self, name: str) -> None:
        """Not shown: a notebook would draw the table several times a step."""

    def sample(self, text: str) -> None:
        self._sample = text

    def step(self, metrics: Metrics) -> None:
        assert self._pace is not None, "a run that was started"
        self._pace.advance(metrics["step"])
        self._remember(metrics)
        self._draw()

    def note(self, text: str) -> None:
        self._notes = [*self._notes, text][-MOST_NOTES:]
        self._draw()

    def finish(self) -> None:
        """The last table stays; another run begins one of its own."""
        self._update = None

    def as_html(self) -> str:
        """The table as it is now, with its notes."""
        rows = []
        for gauge in gauges_for(self._metrics):
            value, course = self._metrics[gauge.name], self._courses.get(gauge.name, [])
            rows.append([gauge.label, gauge.text(value), gauge.mark(value).strip(), trend(course, TREND_WIDTH)])
        notes = [*([self._sample] if self._sample else []), *self._notes]
        title = f"{self._title}: {self._times()}" if self._pace else self._title
        table = Table(("metric", "now", "", "course"), rows, title=title, notes=notes, words=frozenset({2, 3}))
        return f"<p><strong>{plain_html(title)}</strong></p>\n{table.as_html()}"

    def _times(self) -> str:
        assert self._pace is not None
        pace = self._pace
        return f"step {pace.done}/{pace.total}, {duration(pace.elapsed())}, {pace.left_text()}"

    def _remember(self, metrics: Metrics) -> None:
        self._metrics = metrics
        for name in TRENDS:
            if is_number(value := metrics.get(name)):
                self._courses.setdefault(name, []).append(float(value))

    def _draw(self) -> None:
        if self._update is None:
            self._update = self._show(self.as_html())
        else:
            self._update(self.as_html())
