"""Accuracies over seeds: intervals and tests of Student's t, not narrower than the test set can tell.

Arms are not paired by seed. A seed says which problems come in which order, and the noise; after some steps the arms
sample other answers, and what a seed has in common for them is gone. In five studies the correlation of two arms' over
seeds is -0.3 to 0.2 on average (docs/studies.md), and a paired test has half the degrees of freedom."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import comb, floor, sqrt

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
    """Second less first of the same runs, such as before and after training: paired, with a spread of the test set's
    resolution at least; cut to [-1, 1]."""
    return _possible(paired_t(first, second, least_spread=sqrt(2) * resolution(problems) if problems else 0.0))


def arms_difference(
    first: Sequence[Sequence[float]], second: Sequence[Sequence[float]], problems: int | None, *, accuracy: bool = True
) -> Difference | None:
    """The mean over the arms `second` less that over the arms `first`, each its values over seeds: Welch's test, as
    `weighed`. With `accuracy` false the values are losses, and the interval is by the seeds alone: None where they have
    no spread.

    Where no arm has any spread, p is at least that of the exact randomisation test: 2 / C(n + m, n) for n seeds in all
    of `first` and m of `second`. Raises as `weighed`."""
    arms = [(-1 / len(first), values) for values in first] + [(1 / len(second), values) for values in second]
    has_spread = any(len(set(values)) > 1 for _, values in arms)
    if not has_spread and not (accuracy and problems):
        return None
    found = weighed(arms, problems if accuracy else None).difference
    if not has_spread:
        counts = sum(map(len, first)), sum(map(len, second))
        found = Difference(found.mean, found.low, found.high, max(found.p, 2 / comb(sum(counts), counts[0])))
    return _possible(found) if accuracy else found


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


def _possible(found: Difference) -> Difference:
    """With its interval cut to what a difference of accuracies can be."""
    return Difference(found.mean, max(-1.0, found.low), min(1.0, found.high), found.p)


def _above(t: float, degrees: int) -> float:
    """P(T >= t) of Student's t."""
    beyond = t_beyond(t, degrees) / 2
    return beyond if t >= 0 else 1 - beyond


def _mean(values: Iterable[float]) -> float:
    held = list(values)
    return sum(held) / len(held)
