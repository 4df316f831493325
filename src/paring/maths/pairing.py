"""The paired comparison: two models on the same problems, the difference, its interval, and whether chance explains it.

Everything that compares two runs on their problems asks here: `compare`, `eval --compare` and `report`."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from paring.maths.estimates import mcnemar_exact, paired_t, wilson_interval
from paring.maths.power import problems_needed

EXACT = "McNemar over problems"
BY_SHARES = "paired t over problems"
LEVEL = 0.05


@dataclass(frozen=True)
class Paired:
    """Second less first, over problems that both answered.

    first, second   mean share of right answers
    low, high       95 % interval of the difference
    p               two-sided, of "there is none", by the `test`
    first_only      problems that only the first has right, and only the second; None with several answers a problem
    apart           mean squared difference over problems; with one answer each, the share that one alone has right
    """

    problems: int
    first: float
    second: float
    low: float
    high: float
    p: float
    test: str
    first_only: int | None
    second_only: int | None
    apart: float

    @property
    def difference(self) -> float:
        return self.second - self.first

    def needed(self, size: float) -> int:
        """Problems at which a difference of this size is seen, with a power of 80 % at the 5 % level, if as large a
        share of problems as here is answered rightly by one of the two alone."""
        return problems_needed(size, min(1.0, self.apart))


def paired(first_P: Sequence[float], second_P: Sequence[float]) -> Paired:
    """Compare two by the share of right answers that each gave to each problem, 0 to 1.

    With one answer a problem: McNemar's exact test, and Newcombe's interval, which reaches to 0 where the test does not
    reject. With several, whose shares lie between: Student's paired test over problems, whose
    spread is that of one problem in n at least. Raises ValueError for values that do not pair, or fewer than two."""
    if len(first_P) != len(second_P) or len(first_P) < 2:
        raise ValueError(f"{len(first_P)} problems and {len(second_P)}: a paired test needs the same two or more")
    problems = len(first_P)
    first, second = sum(first_P) / problems, sum(second_P) / problems
    apart = sum((one - other) ** 2 for one, other in zip(first_P, second_P, strict=True)) / problems
    if not {*first_P, *second_P} <= {0, 1}:
        # Shares that all differ by the same are no certainty: over n problems one more may differ by 1.
        student = paired_t(first_P, second_P, least_spread=1 / sqrt(problems) if _is_constant(first_P, second_P) else 0)
        low, high = max(-1.0, student.low), min(1.0, student.high)
        return Paired(problems, first, second, low, high, student.p, BY_SHARES, None, None, apart)
    exact = mcnemar_exact([share == 1 for share in first_P], [share == 1 for share in second_P])
    both = sum(one == other == 1 for one, other in zip(first_P, second_P, strict=True))
    low, high = newcombe_interval(both, exact.first_only, exact.second_only, problems)
    if exact.p > LEVEL:  # what the exact test does not reject lies in the interval
        low, high = min(low, 0.0), max(high, 0.0)
    counts = exact.first_only, exact.second_only
    return Paired(problems, first, second, low, high, exact.p, EXACT, *counts, apart)


def _is_constant(first_P: Sequence[float], second_P: Sequence[float]) -> bool:
    """Whether all differences are the same, up to rounding."""
    differences = [other - one for one, other in zip(first_P, second_P, strict=True)]
    return max(differences) - min(differences) < 1e-9


def newcombe_interval(both: int, first_only: int, second_only: int, problems: int) -> tuple[float, float]:
    """95 % interval of the difference of two paired shares, second less first (Newcombe 1998, Statist. Med. 17,
    2635-2650, method 10). It stays inside [-1, 1] and has a width whatever the counts.

    low = d - sqrt(a^2 - 2 phi a b + b^2), with a = p2 - l2, b = u1 - p1; high likewise with u2 - p2 and p1 - l1;
    l and u are Wilson's, phi is the correlation of the two by the four counts, corrected for continuity."""
    neither = problems - both - first_only - second_only
    right1, right2 = both + first_only, both + second_only
    share1, share2 = right1 / problems, right2 / problems
    (low1, high1), (low2, high2) = wilson_interval(right1, problems), wilson_interval(right2, problems)
    phi = _correlation(both, first_only, second_only, neither)
    down, across = share2 - low2, high1 - share1
    up, back = high2 - share2, share1 - low1
    difference = share2 - share1
    low = difference - sqrt(max(0.0, down**2 - 2 * phi * down * across + across**2))
    high = difference + sqrt(max(0.0, up**2 - 2 * phi * up * back + back**2))
    return max(-1.0, low), min(1.0, high)


def _correlation(both: int, first_only: int, second_only: int, neither: int) -> float:
    """phi of the four counts; a positive one is corrected for continuity, by half the number of problems."""
    product = (both + first_only) * (second_only + neither) * (both + second_only) * (first_only + neither)
    if product == 0:
        return 0.0
    excess = both * neither - first_only * second_only
    if excess > 0:
        excess = max(excess - (both + first_only + second_only + neither) / 2, 0.0)
    return excess / sqrt(product)
