"""All that listens to a run: the trackers of its recipe, and a function of the caller's."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from paring.settings.recipes import flattened
from paring.tracking.sink import Sink
from paring.tracking.trackers import TrackerName, open_tracker
from paring.types import Json, JsonObject

OnStep = Callable[[dict[str, Json]], None]
"""Called after each step with its metrics (docs/metrics.md), in the run's own thread. What it raises ends the run."""


class Listeners:
    """Told of each step after it is journalled."""

    def __init__(self, names: Sequence[TrackerName], folder: Path, config: JsonObject, on_step: OnStep | None) -> None:
        flat = flattened(config)
        self._sinks = [Sink(name, partial(open_tracker, name, folder, flat)) for name in names]
        self._on_step = on_step
        self._last = 0

    def step(self, metrics: Mapping[str, Json], answers: Sequence[JsonObject]) -> None:
        number = metrics["step"]
        assert isinstance(number, int), number
        self._last = number
        for sink in self._sinks:
            sink.step(metrics, answers)
        if self._on_step is not None:
            self._on_step(dict(metrics))

    def close(self, final: Mapping[str, Json]) -> list[str]:
        """Let the trackers end. Returns what they missed, in words."""
        return [words for sink in self._sinks if (words := sink.close(final, self._last))]
