"""Accuracies over seeds: the published cases that were wrong, and numbers by hand."""

import pytest

from paring.maths.estimates import paired_t, t_quantile
from paring.maths.seeds import accuracy_difference, accuracy_interval, arms_difference, resolution, weighed


def test_one_problem_of_500_in_five_seeds_is_no_certainty():
    """rgra-dynamics: "raft - sft -0.2 [-0.2, -0.2], Holm < 0.001". Five equal signs give 0.0625 at best."""
    found = accuracy_difference([1.0] * 5, [0.998] * 5, 500)
    error = 2**0.5 / 500 / 5**0.5
    assert found.mean == pytest.approx(-0.002) and found.p >= 0.0625
    assert found.high - found.low == pytest.approx(2 * t_quantile(0.95, 4) * error)
    assert found.low < 0 < found.high


def test_three_times_42_of_42_has_an_interval():
    """smollm2: arms of 3 x 42/42 had [100, 100]."""
    low, high = accuracy_interval([1.0, 1.0, 1.0], 42)
    assert high == 1.0 and low == pytest.approx(1 - t_quantile(0.95, 2) / 42 / 3**0.5)


def test_two_seeds_stay_within_what_an_accuracy_can_be():
    """A study of two seeds printed "accuracy 70.3 % [-17.37, 158]"."""
    assert accuracy_interval([0.634, 0.772], 500) == (0.0, 1.0)
    found = accuracy_difference([0.9, 0.1], [0.0, 0.8], 500)
    assert (found.low, found.high) == (-1.0, 1.0)


def test_a_spread_beyond_the_resolution_is_students():
    first, second = [0.7, 0.75, 0.8], [0.72, 0.74, 0.9]
    assert accuracy_difference(first, second, 500) == paired_t(first, second)
    assert accuracy_difference(first, second, None) == paired_t(first, second)


def test_the_mean_of_two_pairs_of_arms_by_hand():
    found = arms_difference([[0.5, 0.6], [0.2, 0.2]], [[0.6, 0.7], [0.2, 0.3]], 10)
    # Every spread is below 1 / 10, so each of four means has the variance 0.01 / 2, weighed by 1 / 4: an error of
    # sqrt(0.005), with 4 degrees of freedom.
    assert found.mean == pytest.approx(0.075)
    assert found.high == pytest.approx(0.075 + t_quantile(0.95, 4) * 0.005**0.5)


def test_what_a_seed_has_in_common_is_not_taken_away():
    """Seeds of two arms in another order are the same arms. By SciPy with Welch's degrees of freedom rounded down."""
    stats = pytest.importorskip("scipy.stats")
    first, second = [0.70, 0.75, 0.81], [0.50, 0.62, 0.40]
    found, theirs = arms_difference([first], [second], 500), stats.ttest_ind(second, first, equal_var=False)
    assert arms_difference([first], [second[::-1]], 500).p == pytest.approx(found.p)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(theirs.statistic), int(theirs.df)))


def test_arms_without_spread_have_no_certainty():
    """Two arms of three seeds that are right in 42 and 40 of 42: 20 orders of six, so 2 / 20 at best."""
    found = arms_difference([[1.0] * 3], [[40 / 42] * 3], 42)
    assert found.p == pytest.approx(2 / 20) and found.low < found.mean < found.high
    assert arms_difference([[1.0] * 3], [[1.0] * 3], 42).p == 1.0


def test_losses_have_no_test_set_to_resolve():
    assert arms_difference([[0.5, 0.6]], [[0.6, 0.7001]], 10, accuracy=False) == (
        weighed([(-1, [0.5, 0.6]), (1, [0.6, 0.7001])], None).difference
    )
    assert arms_difference([[0.5, 0.5]], [[0.6, 0.6]], 10, accuracy=False) is None
    with pytest.raises(ValueError, match="0 problems"):
        resolution(0)


def test_a_contrast_of_two_arms_is_welch_s():
    stats = pytest.importorskip("scipy.stats")
    first, second = [0.70, 0.75, 0.81], [0.50, 0.62, 0.40, 0.55]
    found, theirs = weighed([(1, first), (-1, second)], 500), stats.ttest_ind(first, second, equal_var=False)
    assert found.mean / found.error == pytest.approx(theirs.statistic)
    assert found.degrees == int(theirs.df) and found.difference.p == pytest.approx(theirs.pvalue, abs=0.005)


def test_an_interaction_by_hand():
    # (0.8 - 0.2) - (0.9 - 0.8) with a spread of 0.1 each: error sqrt(4 * 0.01 / 3), 4 x 2 degrees of freedom.
    arms = [[mean - 0.1, mean, mean + 0.1] for mean in (0.8, 0.2, 0.9, 0.8)]
    found = weighed(list(zip((1, -1, -1, 1), arms, strict=True)), 500)
    assert (found.mean, found.error, found.degrees) == (pytest.approx(0.5), pytest.approx((0.04 / 3) ** 0.5), 8)


def test_equivalence_is_the_larger_of_two_one_sided_tests():
    stats = pytest.importorskip("scipy.stats")
    first, second = [0.80, 0.81, 0.79, 0.80], [0.80, 0.80, 0.82, 0.81]
    found = weighed([(1, first), (-1, second)], 500)
    t, degrees = (0.05 - abs(found.mean)) / found.error, found.degrees
    assert found.equivalence(0.05) == pytest.approx(stats.t.sf(t, degrees))
    assert found.equivalence(abs(found.mean)) == pytest.approx(0.5) and found.equivalence(0.0001) > 0.5


def test_a_contrast_of_equal_seeds_has_the_test_set_s_resolution():
    """And no p, of a difference or of an equivalence, below that of the orders there are: C(4, 2) = 6 of two seeds."""
    found = weighed([(1, [1.0, 1.0]), (-1, [0.5, 0.5])], 100)
    assert found.error == pytest.approx(0.01) and found.difference.p == pytest.approx(2 / 6)
    assert weighed([(1, [1.0, 1.0]), (-1, [1.0, 1.0])], 500).equivalence(0.05) == pytest.approx(1 / 6)
    assert weighed([(1, [1.0, 1.0]), (-1, [0.5, 0.5])], None) is None
    with pytest.raises(ValueError, match="two seeds or more"):
        weighed([(1, [1.0]), (-1, [0.5, 0.5])], 100)
