"""How many problems, or seeds, it takes to see a difference, and how large one must be to be seen."""

from math import ceil, sqrt
from statistics import NormalDist

from paring.maths.estimates import t_quantile


def problems_needed(difference: float, discordant: float) -> int:
    """Pairs at which McNemar's test at the 5 % level sees a difference of accuracies with a power of 80 % (Connor 1987,
    Biometrics 43).

    n = ((z_0.975 sqrt(psi) + z_0.8 sqrt(psi - d^2)) / d)^2, where psi is the share of problems that one of the
    two alone has right; it is at least d. Raises ValueError unless 0 < d <= 1 and 0 <= psi <= 1."""
    if not (0 < difference <= 1 and 0 <= discordant <= 1):
        raise ValueError(f"difference={difference}, discordant={discordant}: shares, and a difference above 0")
    discordant = max(discordant, difference)
    z_test, z_power = NormalDist().inv_cdf(0.975), NormalDist().inv_cdf(0.8)
    return ceil(((z_test * sqrt(discordant) + z_power * sqrt(discordant - difference**2)) / difference) ** 2)


def detectable(spread: float, seeds: int, *, level: float = 0.05) -> float:
    """The difference of two arms that Student's test over so many seeds of each sees with a power of 80 %:
    (t_{1 - level / 2} + t_0.8) s sqrt(2 / n), with 2 (n - 1) degrees of freedom.

    spread: the standard deviation of an arm over seeds, in the unit of the answer. level: of the test; divided by their
    number where there are many. Raises ValueError for fewer than two seeds."""
    return (_quantile(1 - level, seeds) + _quantile(0.6, seeds)) * spread * sqrt(2 / seeds)


def margin_shown(spread: float, seeds: int, *, level: float = 0.05) -> float:
    """The margin within which two one-sided tests show two equal arms to be so, with a power of 80 %:
    (t_{1 - level} + t_0.9) s sqrt(2 / n). Raises as `detectable`."""
    return (_quantile(1 - 2 * level, seeds) + _quantile(0.8, seeds)) * spread * sqrt(2 / seeds)


def _quantile(confidence: float, seeds: int) -> float:
    if seeds < 2:
        raise ValueError(f"{seeds} seeds: the spread over seeds needs two at least")
    return t_quantile(confidence, 2 * (seeds - 1))
