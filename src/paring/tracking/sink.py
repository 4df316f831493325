"""A tracker beside a run: a thread of its own behind a bounded queue, so that it neither stops nor slows the run."""

import queue
import threading
from collections.abc import Callable, Mapping, Sequence

from paring.runtime.text import one_line
from paring.tracking.trackers import Tracker, answers_text, figures_of
from paring.types import Json, JsonObject

MOST_WAITING = 256
"""Entries that wait for a slow tracker; further ones are left out, and counted."""
ANSWERS = 4
"""Answers of a step that are tracked."""
PATIENCE = 30.0
"""Seconds that the end of a run waits for a tracker."""


class Sink:
    """Takes the steps of a run to a tracker, which `opening` gives. Failures are counted, and said once at the end."""

    def __init__(self, name: str, opening: Callable[[], Tracker], *, waiting: int = MOST_WAITING) -> None:
        self._name, self._opening = name, opening
        self._queue: queue.Queue[Callable[[Tracker], None]] = queue.Queue(waiting)
        self._over = threading.Event()
        self._given = self._lost = 0
        self._first_failure = ""
        # A daemon: a tracker that hangs does not keep the process of a run that is over.
        self._thread = threading.Thread(target=self._work, name=f"tracker {name}", daemon=True)
        self._thread.start()

    def step(self, metrics: Mapping[str, Json], answers: Sequence[JsonObject] = ()) -> None:
        """Hand over a step's metrics, "step" among them, and the first of its answers. Returns at once."""
        number = metrics["step"]
        values = figures_of({name: value for name, value in metrics.items() if name != "step"})
        assert isinstance(number, int), number
        self._give(lambda tracker: tracker.figures(number, values))
        if answers:
            rows = list(answers[:ANSWERS])
            self._give(lambda tracker: tracker.answers(number, answers_text(rows)))

    def close(self, final: Mapping[str, Json], step: int, *, patience: float = PATIENCE) -> str | None:
        """Hand over the final figures, and wait for the tracker, at most `patience` seconds. What went wrong, in words;
        None where nothing did."""
        if values := figures_of(final, "final/"):
            self._give(lambda tracker: tracker.figures(step, values))
        self._over.set()
        self._thread.join(patience)
        if self._thread.is_alive():
            return f"{self._name} did not end within {patience:g} s, and is left behind; the run's own record is whole"
        if not self._lost:
            return None
        return (
            f"{self._name}: {self._lost} of {self._given} entries were not tracked ({self._first_failure}); the run's "
            "own record is whole"
        )

    def _give(self, entry: Callable[[Tracker], None]) -> None:
        self._given += 1
        try:
            self._queue.put_nowait(entry)
        except queue.Full:
            self._fail("it is slower than the run")

    def _work(self) -> None:
        tracker = self._tried(self._opening)
        while not (self._over.is_set() and self._queue.empty()):
            try:
                entry = self._queue.get(timeout=0.05)
            except queue.Empty:
                continue
            if tracker is None:
                self._fail("")  # it could not be opened, which is said
            else:
                self._try_entry(entry, tracker)
        if tracker is not None:
            self._tried(tracker.close)

    def _try_entry(self, entry: Callable[[Tracker], None], tracker: Tracker) -> None:
        try:
            entry(tracker)
        except Exception as error:  # whatever a library raises: the run goes on
            self._fail(f"{type(error).__name__}: {one_line(str(error), 200)}")

    def _tried(self, act: Callable[[], Tracker | None]) -> Tracker | None:
        try:
            return act()
        except Exception as error:  # as above
            self._fail(f"{type(error).__name__}: {one_line(str(error), 200)}", entries=0)
            return None

    def _fail(self, why: str, *, entries: int = 1) -> None:
        self._lost += entries
        self._first_failure = self._first_failure or why
