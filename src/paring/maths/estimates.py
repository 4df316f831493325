"""How sure a measured share is."""

from collections.abc import Sequence
from math import sqrt

import numpy as np


def wilson_interval(successes: int, trials: int, *, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a binomial share (Wilson 1927), by default at 95 %.

    (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), with p = successes / n. It stays inside [0, 1] and
    keeps its coverage for small n and shares near 0 or 1. No trials: (0, 1), nothing is known.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials: must lie between 0 and the number of trials")
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    centre = share + z * z / (2 * trials)
    spread = z * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def bootstrap_interval(value_P: Sequence[float], *, seed: int, resamples: int = 4000) -> tuple[float, float]:
    """95 % percentile interval of a mean over problems, resampled with replacement (Efron 1979).

    For several samples a problem: give each problem's own mean, since its samples are not independent."""
    value_P = np.asarray(value_P)
    if len(value_P) == 0:
        raise ValueError("a bootstrap of no values: there must be at least one")
    draws = np.random.default_rng(seed).integers(len(value_P), size=(resamples, len(value_P)))
    low, high = np.percentile(value_P[draws].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)
