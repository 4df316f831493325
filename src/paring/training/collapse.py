"""Collapse of a run: its definition, how it is noticed while the run goes on, and its likely cause in words."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from paring.runtime.glossary import HEALTHY, Metrics, is_number
from paring.settings.declare import Count, settings

WATCHED = ("reward", "length")
FIRST_LEVELS = (*WATCHED, "accuracy", "entropy", "grad_norm")
HIGHEST = ("grad_norm", "kl", "clip_fraction", "ratio_max")
JUMP = 10.0
"""A gradient norm of so many times its early level is named as a cause."""
NOISE = 2.0
"""... and an entropy."""
LEAST_RIGHT = 5
"""Right answers in `steps` steps, at the share of the best level, below which an accuracy is too rare to fall."""


@settings
class Collapse:
    """The `collapse` section. A run has collapsed when its mean reward, or mean length, of a step was below `share` of
    its own early level in each of the last `steps` steps, or its accuracy below `share` of the best that it had.

    The early level is the mean over the first `steps` steps. A level that is not above 0 cannot be fallen from. The
    best accuracy is the highest mean over `steps` steps in a row; the first ones, near the base's own, are among them.
    Accuracy is watched apart from the reward, which also counts form."""

    share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    steps: Count = 5
    stop: bool = False
    """End the run where it collapses; otherwise it is noted, and the run goes on."""


@dataclass(frozen=True)
class CollapseEvent:
    """A collapse as it is journalled: reward, length or accuracy, its share of the early level (of the best, for the
    accuracy), the first step below the share, and what a person reads."""

    kind: str
    share: float
    since: int
    words: str


@dataclass
class Watch:
    """The levels of a run so far: part of its checkpoints, so that a resumed run notices the same at the same step."""

    early: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in FIRST_LEVELS})
    highest: dict[str, float] = field(default_factory=dict)
    below: dict[str, int] = field(default_factory=lambda: dict.fromkeys(WATCHED, 0))
    """Steps in a row that were below the share."""
    found: CollapseEvent | None = None
    """The first collapse, or one of reward or accuracy after a first one of the length."""
    accuracies: list[float] = field(default_factory=list)
    """Those of the last steps."""
    best: float = 0.0
    """The highest mean accuracy over `steps` steps in a row."""

    def observe(self, metrics: Metrics, collapse: Collapse, *, answers: int | None = None) -> CollapseEvent | None:
        """Take note of a step; the collapse, at the step where it is noticed. answers: those of a step, where it is
        known how many its accuracy is of."""
        values = {name: value for name, value in metrics.items() if is_number(value)}
        for name in filter(values.__contains__, HIGHEST):
            self.highest[name] = max(values[name], self.highest.get(name, values[name]))
        if "accuracy" in values:
            self._observe_accuracy(values["accuracy"], collapse, answers)
        if len(self.early["reward"]) < collapse.steps:
            for name in filter(values.__contains__, FIRST_LEVELS):
                self.early.setdefault(name, []).append(values[name])
            return None
        for name in WATCHED:
            is_below = 0 < self.level(name) and values[name] < collapse.share * self.level(name)
            self.below[name] = self.below[name] + 1 if is_below else 0
        fallen = [name for name in ("reward", "accuracy", "length") if self.below.get(name, 0) >= collapse.steps]
        if self.found is not None:  # shorter answers may be harmless: what follows them is worth a word
            fallen = [name for name in fallen if self.found.kind == "length" != name]
        if not fallen:
            return None
        kind, since = fallen[0], int(values["step"]) - collapse.steps + 1
        words = self._words(kind, values, collapse)
        level = self.best if kind == "accuracy" else self.level(kind)
        self.found = CollapseEvent(kind, values[kind] / level, since, words)
        return self.found

    def _observe_accuracy(self, accuracy: float, collapse: Collapse, answers: int | None) -> None:
        """Count the steps in a row below the share of the best, unless so few right answers are expected there that
        chance would make such steps."""
        limit = collapse.share * self.best
        is_rare = answers is not None and limit * answers * collapse.steps < LEAST_RIGHT
        self.below["accuracy"] = self.below.get("accuracy", 0) + 1 if accuracy < limit and not is_rare else 0
        self.accuracies = [*self.accuracies, accuracy][-collapse.steps :]
        if len(self.accuracies) == collapse.steps:
            self.best = max(self.best, sum(self.accuracies) / collapse.steps)

    def level(self, name: str) -> float:
        """The mean of the first steps; 0 where the metric was not there."""
        values = self.early.get(name, [])
        return sum(values) / len(values) if values else 0.0

    def is_high(self, name: str) -> bool:
        """It was above what is healthy at some step."""
        return self.highest.get(name, 0.0) > HEALTHY[name][1]

    def _words(self, kind: str, values: Mapping[str, float], collapse: Collapse) -> str:
        now, early = values[kind], self.level(kind)
        if kind == "accuracy":
            course = (
                f"collapse of the accuracy: {now:.3g} after {early:.3g} early on and {self.best:.3g} at its best, and "
                f"below {collapse.share:.0%} of the best for {collapse.steps} steps; the reward, which may also count "
                f"form, went from {self.level('reward'):.3g} to {values['reward']:.3g}"
            )
            return f"{course}. Likely cause: {'; '.join(likely_causes(self, values))}"
        course = (
            f"collapse of the {kind}: {now:.3g} after {early:.3g} early on, and below {collapse.share:.0%} of that for "
            f"{collapse.steps} steps"
        )
        if kind == "length":
            course += f"; the reward went from {self.level('reward'):.3g} to {values['reward']:.3g}"
            if values["reward"] >= self.level("reward"):
                return f"{course}, so that shorter answers may simply do"
        return f"{course}. Likely cause: {'; '.join(likely_causes(self, values))}"


def likely_causes(watch: Watch, values: Mapping[str, float]) -> list[str]:
    """Metrics out of their range, each with a setting to change; the last one explains why a fallen run stays down."""
    highest, lower, causes = watch.highest, f"lower optimiser.lr ({values['learning_rate']:g})", []
    if watch.is_high("clip_fraction") or watch.is_high("ratio_max"):
        clipped = highest.get("clip_fraction", 0.0)
        far = f"up to {clipped:.0%} of the tokens clipped, " if clipped else ""
        far += f"ratios up to {highest.get('ratio_max', 1.0):.3g}"
        causes.append(
            f"updates that went far from the policy that sampled ({far}): fewer updates a rollout, or {lower}"
        )
    if watch.is_high("kl"):
        far = f"KL up to {highest['kl']:.3g} nats a token"
        causes.append(f"a policy far from its base ({far}): {lower}, or raise objective.kl_coef")
    early, now = watch.level("grad_norm"), highest.get("grad_norm", 0.0)
    if early > 0 and now >= JUMP * early:
        causes.append(f"a gradient norm that jumped from {early:.3g} to {now:.3g}: {lower}")
    early, now = watch.level("entropy"), values.get("entropy", math.nan)
    course = f"entropy {early:.2g} -> {now:.2g} nats a token"
    if early > 0 and now >= NOISE * early:
        causes.append(f"answers that turned into noise ({course}): {lower}")
    elif now < HEALTHY["entropy"][0]:
        other = "take an objective that also learns from wrong answers"
        causes.append(f"a policy that tries nothing new any more ({course}): {lower}, or {other}")
    if not causes:
        causes.append(f"no other metric stands out; steps that are too large are the first guess: {lower}")
    silent = values.get("groups_without_signal", 0.0)
    if silent > HEALTHY["groups_without_signal"][1]:
        causes.append(f"no signal that would pull it back ({silent:.0%} of the groups have equal rewards)")
    return causes
