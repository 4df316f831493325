"""How many problems it takes to see a difference between two models that answer the same ones."""

from math import ceil, sqrt
from statistics import NormalDist


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
