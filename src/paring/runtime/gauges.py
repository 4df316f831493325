"""Which metrics a person watches, how each is written and when it is marked, and how long the run will take."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from paring.runtime.glossary import HEALTHY, Metrics, is_number
from paring.runtime.text import duration, one_line
from paring.types import Json


@dataclass(frozen=True)
class Gauge:
    """How one metric is shown."""

    name: str
    label: str
    write: Callable[[float], str]

    def text(self, value: Json) -> str:
        return self.write(value) if is_number(value) else str(value)

    def mark(self, value: Json) -> str:
        """A tick inside the healthy range, "!" outside it or if not finite, a space where no range is known."""
        if not is_number(value):
            return "!"
        if self.name not in HEALTHY:
            return " "
        low, high = HEALTHY[self.name]
        return "✓" if low <= value <= high else "!"


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


GAUGES = (
    Gauge("reward", "reward", "{:.3g}".format),
    Gauge("accuracy", "accuracy", _percent),
    Gauge("loss", "loss", "{:.4g}".format),
    Gauge("epoch", "epoch", "{:.2f}".format),
    Gauge("length", "length", "{:.1f}".format),
    Gauge("truncated", "truncated", _percent),
    Gauge("groups_without_signal", "groups without signal", _percent),
    Gauge("kl", "kl", "{:.2g}".format),
    Gauge("entropy", "entropy", "{:.3g}".format),
    Gauge("grad_norm", "grad norm", "{:.3g}".format),
    Gauge("dropped_steps", "dropped steps", "{:.0f}".format),
    Gauge("rollout_tokens_per_second", "rollout tokens/s", "{:,.0f}".format),
    Gauge("training_tokens_per_second", "training tokens/s", "{:,.0f}".format),
    Gauge("peak_memory_gb", "memory GB", "{:.2f}".format),
)


TRENDS = ("reward", "accuracy", "loss", "length", "kl")
"""The metrics whose course is drawn, where they are measured."""
_BLOCKS = "▁▂▃▄▅▆▇█"


def trend(values: Sequence[float], width: int) -> str:
    """The course of finite values as a small curve of at most `width` characters, from the least to the greatest; of
    more values than that, each character is the mean of its share of them."""
    count = min(width, len(values))
    cuts = [round(place * len(values) / count) for place in range(count + 1)] if count else []
    means = [fmean(values[start:end]) for start, end in pairwise(cuts)]
    if not means:
        return ""
    low, height = min(means), max(means) - min(means)
    if height == 0 or not math.isfinite(height):
        return _BLOCKS[0] * count
    return "".join(_BLOCKS[min(len(_BLOCKS) - 1, int((one - low) / height * len(_BLOCKS)))] for one in means)


def gauges_for(metrics: Metrics) -> list[Gauge]:
    """The gauges of these metrics. Where there is a reward the loss is left out: it would measure no progress."""
    return [gauge for gauge in GAUGES if gauge.name in metrics and not (gauge.name == "loss" and "reward" in metrics)]


MOST_TASKS = 8
"""Tasks that are shown apart."""


def gauges_by_task(metrics: Metrics) -> list[tuple[str, list[str]]]:
    """With several tasks, the label of each and its reward and accuracy as texts."""
    tasks = metrics.get("tasks")
    if not isinstance(tasks, Mapping):
        return []
    shown = [gauge for gauge in GAUGES if gauge.name in ("reward", "accuracy")]
    parts = [(label, part) for label, part in tasks.items() if isinstance(part, Mapping)]
    return [
        (one_line(label, 40), [one_line(gauge.text(part[gauge.name]), 20) for gauge in shown if gauge.name in part])
        for label, part in parts[:MOST_TASKS]
    ]


class Pace:
    """How far the run is, and how long it will take at the mean pace since it was started or resumed, in seconds."""

    def __init__(self, total: int, done: int, clock: Callable[[], float]):
        self.total = total
        self.done = done
        self._resumed_at = done
        self._clock = clock
        self._start = self._last = clock()

    def advance(self, step: Json) -> None:
        assert isinstance(step, int), step
        self.done = step
        self._last = self._clock()

    def elapsed(self) -> float:
        return self._clock() - self._start

    def left_text(self) -> str:
        """The time left: not known before the first step."""
        made = self.done - self._resumed_at
        left = duration((self._last - self._start) / made * (self.total - self.done)) if made > 0 else "?"
        return f"left {left}"
