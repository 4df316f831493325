"""Accuracies over seeds: Student's intervals and tests, not narrower than the test set can tell."""

from collections.abc import Iterable, Sequence
from math import sqrt

from paring.maths.estimates import Difference, paired_t, t_interval


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


def _mean(values: Iterable[float]) -> float:
    held = list(values)
    return sum(held) / len(held)
