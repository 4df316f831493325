"""Intervals: published values, the equation that defines them, and the ends of the scale."""

import pytest

from paring.maths.estimates import bootstrap_interval, wilson_interval

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
