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
    return possible(paired_t(first, second, least_spread=sqrt(2) * resolution(problems) if problems else 0.0))


def arms_difference(
    first: Sequence[Sequence[float]], second: Sequence[Sequence[float]], problems: int | None, *, accuracy: bool = True
) -> Difference | None:
    """The mean over the arms `second` less that over the arms `first`, each its values over seeds: Welch's test, with
    the errors of `weighed`, and None where that has none. With `accuracy` false the values are losses, and the interval
    is by the seeds alone."""
    arms = [(-1 / len(first), values) for values in first] + [(1 / len(second), values) for values in second]
    found = weighed(arms, problems if accuracy else None)
    if found is None:
        return None
    return possible(found.difference) if accuracy else found.difference


@dataclass(frozen=True)
class Weighed:
    """A weighted sum of means over seeds, its standard error, and the degrees of freedom of that.

    least_p: what a one-sided p is at least. Where no arm has any spread, that of the exact randomisation test,
    1 / C(n + m, n) for n seeds of positive weight and m of negative; else 0."""

    mean: float
    error: float
    degrees: int
    least_p: float = 0.0

    @property
    def difference(self) -> Difference:
        """With Student's interval of 95 %, and the two-sided p of "it is 0"."""
        reach = t_quantile(0.95, self.degrees) * self.error
        p = max(t_beyond(self.mean / self.error, self.degrees), 2 * self.least_p)
        return Difference(self.mean, self.mean - reach, self.mean + reach, p)

    def equivalence(self, margin: float) -> float:
        """The p of "it lies outside -margin to margin": the larger of two one-sided tests (Schuirmann 1987)."""
        tests = (_above((margin - side) / self.error, self.degrees) for side in (self.mean, -self.mean))
        return max(self.least_p, *tests)


def weighed(arms: Sequence[tuple[float, Sequence[float]]], problems: int | None) -> Weighed | None:
    """sum_i w_i mean_i over arms that are not paired, each a weight and its values over seeds.

    The error is sqrt(sum_i w_i^2 s_i^2 / n_i), of each arm's own spread, since an arm that fails in some seeds has a
    wider one; degrees of freedom as Welch and Satterthwaite have them (1947), rounded down. s_i is at least the test
    set's resolution. None where the values have no spread, and no test set says how little it can be: the error is not
    known. Raises ValueError for an arm of fewer than two seeds."""
    if any(len(values) < 2 for _, values in arms):
        raise ValueError("a contrast of arms needs two seeds or more of each")
    least = resolution(problems) if problems else 0.0
    parts = [
        (weight**2 * max(float(np.std(values, ddof=1)), least) ** 2 / len(values), len(values) - 1)
        for weight, values in arms
    ]
    total = sum(part for part, _ in parts)
    if total == 0:
        return None
    degrees = total**2 / sum(part**2 / each for part, each in parts)
    mean = sum(weight * _mean(values) for weight, values in arms)
    counts = [sum(len(values) for weight, values in arms if weight * sign > 0) for sign in (1, -1)]
    least_p = 0.0 if _have_spread(arms) else 1 / comb(sum(counts), counts[0])
    return Weighed(mean, sqrt(total), max(1, floor(degrees + 1e-9)), least_p)


def _have_spread(arms: Sequence[tuple[float, Sequence[float]]]) -> bool:
    return any(len(set(values)) > 1 for _, values in arms)


def possible(found: Difference, *, most: float = 1.0) -> Difference:
    """With its interval cut to what a difference of accuracies can be: `most` either way, in shares."""
    return Difference(found.mean, max(-most, found.low), min(most, found.high), found.p)


def _above(t: float, degrees: int) -> float:
    """P(T >= t) of Student's t."""
    beyond = t_beyond(t, degrees) / 2
    return beyond if t >= 0 else 1 - beyond


def _mean(values: Iterable[float]) -> float:
    held = list(values)
    return sum(held) / len(held)
