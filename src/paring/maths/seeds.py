"""Accuracies over seeds: Student's intervals and tests, not narrower than the test set can tell."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import floor, sqrt

import numpy as np

from paring.maths.estimates import Difference, paired_t, t_beyond, t_interval, t_quantile


def resolution(problems: int) -> float:
    """The least standard deviation of an accuracy over seeds, in shares: one of its problems more or less."""
    if problems < 1:
        raise ValueError(f"{problems} problems: an accuracy is measured on one at least")
    return 1 / problems


def accuracy_interval(accuracies: Sequence[float], problems: int | None) -> tuple[float, float]:
    """95 % interval of the mean accuracy over seeds: Student's, with a spread of the test set's resolution at least,
    cut to what an accuracy can be. problems: of the test set; None where it is not known, and the seeds alone count."""
    low, high = t_interval(accuracies, least_spread=resolution(problems) if problems else 0.0)
    return max(0.0, low), min(1.0, high)


def accuracy_difference(first: Sequence[float], second: Sequence[float], problems: int | None) -> Difference:
    """Second less first, paired over seeds, with a spread of the test set's resolution at least; cut to [-1, 1]."""
    return pooled_difference([(first, second)], problems)


def pooled_difference(
    pairs: Sequence[tuple[Sequence[float], Sequence[float]]], problems: int | None, *, accuracy: bool = True
) -> Difference:
    """The same for the mean over several pairs of arms at each seed; of losses, with `accuracy` false, by the seeds
    alone. The mean of m pairs has a spread of sqrt(2 / m) / problems at least."""
    seeds = range(len(pairs[0][0]))
    first, second = ([_mean(pair[side][seed] for pair in pairs) for seed in seeds] for side in (0, 1))
    if not accuracy:
        return paired_t(first, second)
    found = paired_t(first, second, least_spread=sqrt(2 / len(pairs)) * resolution(problems) if problems else 0.0)
    return Difference(found.mean, max(-1.0, found.low), min(1.0, found.high), found.p)


@dataclass(frozen=True)
class Weighed:
    """A weighted sum of means over seeds, its standard error, and the degrees of freedom of that."""

    mean: float
    error: float
    degrees: int

    @property
    def difference(self) -> Difference:
        """With Student's interval of 95 %, and the two-sided p of "it is 0"."""
        reach = t_quantile(0.95, self.degrees) * self.error
        p = t_beyond(self.mean / self.error, self.degrees)
        return Difference(self.mean, self.mean - reach, self.mean + reach, p)

    def equivalence(self, margin: float) -> float:
        """The p of "it lies outside -margin to margin": the larger of two one-sided tests (Schuirmann 1987)."""
        return max(_above((margin - side) / self.error, self.degrees) for side in (self.mean, -self.mean))


def weighed(arms: Sequence[tuple[float, Sequence[float]]], problems: int | None) -> Weighed:
    """sum_i w_i mean_i over arms that are not paired, each a weight and its values over seeds.

    The error is sqrt(sum_i w_i^2 s_i^2 / n_i), of each arm's own spread, since an arm that fails in some seeds has a
    wider one; degrees of freedom as Welch and Satterthwaite have them (1947), rounded down. s_i is at least the test
    set's resolution. Raises ValueError for an arm of fewer than two seeds, or values without any spread."""
    if any(len(values) < 2 for _, values in arms):
        raise ValueError("a contrast of arms needs two seeds or more of each")
    least = resolution(problems) if problems else 0.0
    parts = [
        (weight**2 * max(float(np.std(values, ddof=1)), least) ** 2 / len(values), len(values) - 1)
        for weight, values in arms
    ]
    total = sum(part for part, _ in parts)
    if total == 0:
        raise ValueError("a contrast of values without any spread: their error is not known")
    degrees = total**2 / sum(part**2 / each for part, each in parts)
    mean = sum(weight * _mean(values) for weight, values in arms)
    return Weighed(mean, sqrt(total), max(1, floor(degrees + 1e-9)))


def _above(t: float, degrees: int) -> float:
    """P(T >= t) of Student's t."""
    beyond = t_beyond(t, degrees) / 2
    return beyond if t >= 0 else 1 - beyond


def _mean(values: Iterable[float]) -> float:
    held = list(values)
    return sum(held) / len(held)
