"""Intervals and tests: published and hand-computed values, the equations that define them, the ends of the scale."""

import numpy as np
import pytest

from paring.maths.estimates import (
    bootstrap_interval,
    holm,
    mcnemar_exact,
    paired_t,
    t_beyond,
    t_interval,
    t_quantile,
    unpaired_difference,
    wilson_interval,
)

Z = 1.959964


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_of_the_literature(successes, trials, low, high):
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("successes", "trials"), [(1, 2), (3, 7), (500, 1319), (999, 1000)])
def test_wilson_bounds_are_where_the_score_test_just_rejects(successes, trials):
    for bound in wilson_interval(successes, trials):
        distance = abs(successes / trials - bound)
        assert distance == pytest.approx(Z * (bound * (1 - bound) / trials) ** 0.5, rel=1e-9)


@pytest.mark.parametrize("trials", [1, 3, 10, 1319])
def test_wilson_of_none_and_all(trials):
    low, high = wilson_interval(0, trials)
    assert 0 <= low < 1e-15
    assert high == pytest.approx(Z**2 / (trials + Z**2))
    assert wilson_interval(trials, trials) == pytest.approx((1 - high, 1.0))


def test_wilson_mirrors():
    low, high = wilson_interval(3, 11)
    assert wilson_interval(8, 11) == pytest.approx((1 - high, 1 - low))


def test_wilson_of_nothing_knows_nothing():
    assert wilson_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("successes", "trials"), [(-1, 3), (4, 3)])
def test_wilson_refuses_impossible_counts(successes, trials):
    with pytest.raises(ValueError, match=f"{successes} successes of {trials} trials"):
        wilson_interval(successes, trials)


def test_bootstrap_of_constants_has_no_width():
    assert bootstrap_interval([0.3] * 9, seed=0) == pytest.approx((0.3, 0.3), abs=1e-12)


def test_bootstrap_of_a_share_agrees_with_the_normal_interval():
    values = [1.0] * 120 + [0.0] * 280  # mean 0.3, standard error sqrt(0.3 * 0.7 / 400) = 0.0229
    low, high = bootstrap_interval(values, seed=3)
    assert (low, high) == pytest.approx((0.3 - Z * 0.0229, 0.3 + Z * 0.0229), abs=0.004)


def test_bootstrap_is_a_function_of_its_seed():
    values = [0.0, 0.1, 0.5, 1.0, 0.25]
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1, resamples=50) != bootstrap_interval(values, seed=2, resamples=50)


def test_bootstrap_refuses_nothing():
    with pytest.raises(ValueError, match="no values"):
        bootstrap_interval([], seed=0)


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    # Student's table, two-sided 95 %.
    [(1, 12.7062), (2, 4.30265), (3, 3.18245), (4, 2.77645), (9, 2.26216), (10, 2.22814), (30, 2.04227)],
)
def test_t_of_the_table(degrees, quantile):
    assert t_quantile(0.95, degrees) == pytest.approx(quantile, abs=5e-5)
    assert t_beyond(quantile, degrees) == t_beyond(-quantile, degrees) == pytest.approx(0.05, abs=1e-6)


def test_t_of_one_and_two_degrees_in_closed_form():
    # One degree is Cauchy: P(|T| >= 1) = 1/2. Two: P(|T| >= t) = 1 - t / sqrt(2 + t^2).
    assert t_beyond(1.0, 1) == pytest.approx(0.5)
    assert t_beyond(2.0, 2) == pytest.approx(1 - 2 / 6**0.5)
    assert t_beyond(0.0, 7) == 1.0
    assert 0 < t_beyond(1e9, 30) <= 1e-15


@pytest.mark.parametrize("degrees", [3, 6, 41, 100])
def test_t_is_the_integral_of_its_density(degrees):
    value = np.linspace(-1.7, 1.7, 200_001)
    density = (1 + value**2 / degrees) ** (-(degrees + 1) / 2)
    tails = np.linspace(-2000.0, 2000.0, 8_000_001)
    whole = np.trapezoid((1 + tails**2 / degrees) ** (-(degrees + 1) / 2), tails)
    assert t_beyond(1.7, degrees) == pytest.approx(1 - np.trapezoid(density, value) / whole, abs=1e-6)


def test_t_agrees_with_scipy():
    stats = pytest.importorskip("scipy.stats")
    for degrees in (1, 2, 5, 8, 33):
        for t in (0.1, 1.3, 4.0):
            assert t_beyond(t, degrees) == pytest.approx(2 * stats.t.sf(t, degrees), rel=1e-9)
    first, second = [0.9, 0.8, 0.85, 0.95], [0.7, 0.82, 0.8, 0.81]
    found, theirs = paired_t(second, first), stats.ttest_rel(first, second)
    assert found.p == pytest.approx(theirs.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval()))
    right, wrong = [True] * 9 + [False] * 4, [False] * 9 + [True] * 4
    assert mcnemar_exact(right, wrong).p == pytest.approx(stats.binomtest(4, 13).pvalue)


def test_t_interval_by_hand():
    # 1, 2, 3: mean 2, s = 1, error 1 / sqrt(3), two degrees: 2 -+ 4.30265 / 1.73205.
    assert t_interval([1.0, 2.0, 3.0]) == pytest.approx((2 - 2.48414, 2 + 2.48414), abs=1e-4)
    assert t_interval([0.1, 0.1, 0.1]) == pytest.approx((0.1, 0.1), abs=1e-12)
    narrow, wide = (t_interval([1.0, 2.0, 3.0], confidence=level) for level in (0.5, 0.99))
    assert wide[0] < narrow[0] < 2 < narrow[1] < wide[1]


@pytest.mark.parametrize("values", [[], [0.5], [0.5, float("nan")]])
def test_t_interval_needs_two_finite_values(values):
    with pytest.raises(ValueError, match="at least two values"):
        t_interval(values)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95])
def test_confidence_is_a_share(confidence):
    with pytest.raises(ValueError, match=f"confidence={confidence}"):
        t_interval([1.0, 2.0], confidence=confidence)


def test_paired_t_by_hand():
    # Differences 1, 2, 3: t = 2 / (1 / sqrt(3)) = 3.4641 on two degrees, p = 1 - t / sqrt(2 + t^2) = 0.0742.
    found = paired_t([1.0, 2.0, 3.0], [2.0, 4.0, 6.0])
    assert (found.mean, found.p) == pytest.approx((2.0, 1 - 3.4641016 / 14**0.5))
    assert (found.low, found.high) == t_interval([1.0, 2.0, 3.0])
    mirrored = paired_t([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert (mirrored.mean, mirrored.low, mirrored.high) == pytest.approx((-2.0, -found.high, -found.low))


def test_paired_t_without_spread():
    assert paired_t([0.5, 0.6], [0.5, 0.6]).p == 1.0
    same = paired_t([0.5, 2.5], [1.0, 3.0])
    # The spread is as large as the difference: t = sqrt(2), and the sign test of two pairs gives 1/2 at best.
    reach = 12.7062 * 0.5 / 2**0.5
    assert (same.mean, same.p) == (0.5, 0.5)
    assert (same.low, same.high) == pytest.approx((0.5 - reach, 0.5 + reach), abs=1e-3)


@pytest.mark.parametrize("pairs", [2, 3, 5, 6, 12])
def test_equal_differences_are_never_certain(pairs):
    found = paired_t([0.0] * pairs, [0.1] * pairs)
    assert found.p >= 2.0 ** (1 - pairs) and found.low < 0.1 < found.high
    assert (found.p > 0.05) == (found.low < 0)


def test_mcnemar_by_hand():
    # Only the first: 1; only the second: 5. p = 2 (C(6,0) + C(6,1)) / 2^6 = 14 / 64.
    first = [True] + [False] * 5 + [True] * 3 + [False]
    second = [False] + [True] * 5 + [True] * 3 + [False]
    found = mcnemar_exact(first, second)
    assert (found.first_only, found.second_only, found.p) == (1, 5, 14 / 64)


def test_mcnemar_of_no_difference_is_one():
    assert mcnemar_exact([True, False], [True, False]).p == 1.0
    assert mcnemar_exact([True, False], [False, True]).p == 1.0
    assert mcnemar_exact([], []).p == 1.0


def test_mcnemar_of_many_problems_does_not_overflow():
    found = mcnemar_exact([True] * 3000, [False] * 3000)
    assert 0 <= found.p < 1e-300


@pytest.mark.parametrize("test", [mcnemar_exact, paired_t])
def test_values_that_do_not_pair_are_refused(test):
    with pytest.raises(ValueError, match="3 values and 2"):
        test([1, 0, 1], [1, 0])


def test_holm_by_hand():
    # Sorted .01 .02 .03 .04 times 4 3 2 1 = .04 .06 .06 .04; each at least as large as the one before.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.7, 0.6]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


def test_holm_refuses_what_is_no_probability():
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.1, 1.5])


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    # Newcombe 1998, "Interval estimation for the difference between independent proportions", table II, method 10; his
    # differences are first less second.
    [((56, 70, 48, 80), 0.0524, 0.3339), ((9, 10, 3, 10), 0.1705, 0.8090), ((10, 10, 0, 10), 0.6075, 1.0)],
)
def test_an_unpaired_difference_of_the_literature(counts, low, high):
    found = unpaired_difference(*counts[2:], *counts[:2])
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
    mirrored = unpaired_difference(*counts)
    assert (mirrored.mean, mirrored.low, mirrored.high) == pytest.approx((-found.mean, -found.high, -found.low))


def test_an_unpaired_difference_is_tested_by_hand():
    # 27 of 40 pooled: standard error sqrt(0.675 * 0.325 * 2 / 40) = 0.104732, z = 0.15 / 0.104732 = 1.43223.
    assert unpaired_difference(30, 40, 24, 40).p == pytest.approx(0.152078, abs=1e-5)
    assert unpaired_difference(0, 5, 0, 9).p == 1.0


def test_an_unpaired_difference_of_nothing_is_refused():
    with pytest.raises(ValueError, match="0 and 3 trials"):
        unpaired_difference(0, 0, 1, 3)
