"""How sure a measured value is, and whether two of them differ. Differences are second less first."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import atan, comb, cos, erfc, pi, sin, sqrt, tan

import numpy as np

LEAST_P = 1e-15
"""The bound for Student's t: what rounding leaves of one minus its distribution is not smaller."""


@dataclass(frozen=True)
class Difference:
    """Second less first: the mean, its 95 % interval, and the two-sided p-value of "there is none"."""

    mean: float
    low: float
    high: float
    p: float

    @property
    def interval(self) -> tuple[float, float]:
        return self.low, self.high

    @property
    def turned(self) -> "Difference":
        """The same with first and second exchanged."""
        return Difference(-self.mean, -self.high, -self.low, self.p)


@dataclass(frozen=True)
class Discordant:
    """How many pairs only the first has right, how many only the second, and the two-sided p-value of "as often"."""

    first_only: int
    second_only: int
    p: float


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's score interval of a binomial share (Wilson 1927), at 95 %.

    (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), with p = successes / n. It stays inside [0, 1] and
    keeps its coverage for small n and shares near 0 or 1. No trials: (0, 1), nothing is known."""
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials: must lie between 0 and the number of trials")
    if trials == 0:
        return 0.0, 1.0
    z, share = 1.959964, successes / trials
    centre = share + z * z / (2 * trials)
    spread = z * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def bootstrap_interval(value_P: Sequence[float], *, seed: int, resamples: int = 4000) -> tuple[float, float]:
    """95 % percentile interval of a mean over problems, resampled with replacement (Efron 1979).

    For several samples a problem: give each problem's own mean, since its samples are not independent."""
    values = np.asarray(value_P, dtype=np.float64)
    if len(values) == 0:
        raise ValueError("a bootstrap of no values: there must be at least one")
    draws = np.random.default_rng(seed).integers(len(values), size=(resamples, len(values)))
    low, high = np.percentile(values[draws].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def t_interval(values: Sequence[float], *, confidence: float = 0.95, least_spread: float = 0.0) -> tuple[float, float]:
    """Student's interval of a mean over seeds: mean -+ t_{n-1} s / sqrt(n), with s of n - 1 degrees (Student 1908).

    least_spread: the s below which the values could not be measured (maths.seeds has that of a test set).
    Raises ValueError for fewer than two values: of one, the spread is not known."""
    mean, error = _mean_and_error(values, least_spread)
    reach = t_quantile(confidence, len(values) - 1) * error
    return mean - reach, mean + reach


def paired_t(first: Sequence[float], second: Sequence[float], *, least_spread: float = 0.0) -> Difference:
    """Student's paired test over pairs, such as seeds: t = mean / (s / sqrt(n)) of second - first, n - 1 degrees.

    least_spread: the s below which the differences could not be measured. Differences that are all equal tell nothing
    of their spread: it is then taken as large as the difference itself, so t = sqrt(n) at most, and p is at least the
    exact sign test's 2^(1 - n). Raises ValueError for fewer than two pairs, or values that do not pair."""
    _check_pairs(first, second)
    differences = [after - before for before, after in zip(first, second, strict=True)]
    mean, error = _mean_and_error(differences)
    all_equal = error == 0
    error = max(error, (max(least_spread, abs(mean)) if all_equal else least_spread) / sqrt(len(differences)))
    reach = t_quantile(0.95, len(differences) - 1) * error
    p = t_beyond(mean / error, len(differences) - 1) if error else 1.0
    return Difference(mean, mean - reach, mean + reach, max(p, 2.0 ** (1 - len(differences))) if all_equal else p)


def mcnemar_exact(first_P: Sequence[bool], second_P: Sequence[bool]) -> Discordant:
    """McNemar's test in its exact form, whether two differ in how many of the same problems they get right.

    Only the b + c problems count that one of them gets right. Each is a fair coin if there is no difference:
    p = min(1, 2 sum_{k <= min(b, c)} C(b + c, k) / 2^(b + c)). Raises ValueError where they do not pair."""
    _check_pairs(first_P, second_P)
    first_only = sum(bool(one) and not other for one, other in zip(first_P, second_P, strict=True))
    second_only = sum(bool(other) and not one for one, other in zip(first_P, second_P, strict=True))
    trials = first_only + second_only
    tail = sum(comb(trials, count) for count in range(min(first_only, second_only) + 1))
    return Discordant(first_only, second_only, min(1.0, 2 * tail / 2**trials))


def unpaired_difference(first_right: int, first_of: int, second_right: int, second_of: int) -> Difference:
    """Two shares that were not measured on the same things: second - first, with Newcombe's interval (1998, method 10)
    and the two-sided p of the pooled z test.

    low = d - sqrt((p2 - l2)^2 + (u1 - p1)^2), high = d + sqrt((u2 - p2)^2 + (p1 - l1)^2), with Wilson's l and u.
    Raises ValueError for impossible counts, or no trials."""
    if min(first_of, second_of) < 1:
        raise ValueError(f"{first_of} and {second_of} trials: a difference needs at least one of each")
    (low1, high1), (low2, high2) = wilson_interval(first_right, first_of), wilson_interval(second_right, second_of)
    share1, share2 = first_right / first_of, second_right / second_of
    difference = share2 - share1
    pooled = (first_right + second_right) / (first_of + second_of)
    error = sqrt(pooled * (1 - pooled) * (1 / first_of + 1 / second_of))
    return Difference(
        difference,
        difference - sqrt((share2 - low2) ** 2 + (high1 - share1) ** 2),
        difference + sqrt((high2 - share2) ** 2 + (share1 - low1) ** 2),
        erfc(abs(difference) / error / sqrt(2)) if error else 1.0,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for many comparisons (Holm 1979), in the order given: reject where one is at most alpha, and
    the chance of any false rejection is at most alpha.

    The i-th smallest of m becomes the largest of (m - j + 1) p_(j) over j <= i, at most 1. Raises ValueError where a
    value is no probability."""
    if any(not 0 <= p <= 1 for p in p_values):
        raise ValueError(f"{list(p_values)}: p-values lie between 0 and 1")
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        largest = max(largest, (len(p_values) - rank) * p_values[place])
        adjusted[place] = min(1.0, largest)
    return adjusted


def t_beyond(t: float, degrees: int) -> float:
    """P(|T| >= |t|) of Student's t: for whole degrees of freedom one minus a finite sum (Abramowitz and Stegun, 26.7.3
    and 26.7.4), so that what lies below 1e-15 is not known and becomes that."""
    return max(LEAST_P, 1.0 - _t_within(atan(abs(t) / sqrt(degrees)), degrees))


def t_quantile(confidence: float, degrees: int) -> float:
    """The t with P(|T| <= t) = confidence, by halving the angle's range. Raises ValueError outside (0, 1)."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence}: must lie between 0 and 1, such as 0.95")
    low, high = 0.0, pi / 2
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if _t_within(middle, degrees) < confidence else (low, middle)
    return sqrt(degrees) * tan(low)


def _t_within(angle: float, degrees: int) -> float:
    """P(|T| <= sqrt(degrees) tan(angle))."""
    if degrees < 1:
        raise ValueError(f"{degrees} degrees of freedom: there must be at least one")
    odd = degrees % 2
    power = cos(angle) if odd else 1.0
    total = 0.0
    for exponent in range(1 + odd, degrees, 2):
        total += power
        power *= cos(angle) ** 2 * exponent / (exponent + 1)
    return 2 / pi * (angle + sin(angle) * total) if odd else sin(angle) * total


def _mean_and_error(values: Sequence[float], least_spread: float = 0.0) -> tuple[float, float]:
    """The mean and its standard error, by a spread of `least_spread` at least."""
    array = np.asarray(values, dtype=np.float64)
    if len(array) < 2 or not np.isfinite(array).all():
        raise ValueError(f"{array.tolist()}: an interval of a mean needs at least two values, all of them finite")
    # What rounding leaves of equal values is no spread.
    spread = float(array.std(ddof=1))
    if spread <= 1e-12 * float(np.abs(array).max()):
        spread = 0.0
    return float(array.mean()), max(spread, least_spread) / sqrt(len(array))


def _check_pairs(first: Sequence[float], second: Sequence[float]) -> None:
    if len(first) != len(second):
        raise ValueError(f"{len(first)} values and {len(second)}: a paired test needs both of each pair")
