"""The paired comparison: published values, numbers by hand, direction, the ends of the scale."""

import pytest

from paring.maths.estimates import mcnemar_exact, paired_t
from paring.maths.pairing import BY_SHARES, EXACT, newcombe_interval, paired


def test_the_interval_of_the_literature():
    # Newcombe 1998, Statist. Med. 17, 2635-2650, method 10: 36 both, 12 the first alone, 2 the second alone, 0 neither
    # give 0.0569 to 0.3404, first less second.
    assert newcombe_interval(36, 12, 2, 50) == pytest.approx((-0.3404, -0.0569), abs=5e-5)
    assert newcombe_interval(36, 2, 12, 50) == pytest.approx((0.0569, 0.3404), abs=5e-5)


@pytest.mark.parametrize("counts", [(0, 0, 0, 30), (30, 0, 0, 30), (0, 0, 30, 30), (0, 30, 0, 30), (29, 0, 1, 30)])
def test_the_interval_has_a_width_and_possible_ends(counts):
    low, high = newcombe_interval(*counts)
    assert -1 <= low < high <= 1


def test_one_answer_a_problem_by_hand():
    # The first alone has 1 right, the second alone 5, both 3, neither 1: p = 2 (C(6,0) + C(6,1)) / 2^6.
    first, second = [1] + [0] * 5 + [1] * 3 + [0], [0] + [1] * 5 + [1] * 3 + [0]
    comparison = paired(first, second)
    assert (comparison.first_only, comparison.second_only, comparison.p, comparison.test) == (1, 5, 14 / 64, EXACT)
    assert (comparison.first, comparison.second, comparison.apart) == (0.4, 0.8, 0.6)
    assert comparison.difference == pytest.approx(0.4) and comparison.problems == 10
    assert (comparison.low, comparison.high) == newcombe_interval(3, 1, 5, 10)
    assert comparison.p == mcnemar_exact(list(map(bool, first)), list(map(bool, second))).p


def test_several_answers_a_problem_are_compared_by_shares():
    first, second = [0.25, 0.5, 0.0, 1.0], [0.5, 0.75, 0.25, 0.75]
    comparison, student = paired(first, second), paired_t(first, second)
    assert (comparison.p, comparison.low, comparison.high) == (student.p, student.low, student.high)
    assert (comparison.difference, comparison.test, comparison.first_only) == (0.125, BY_SHARES, None)


def test_what_the_exact_test_does_not_reject_is_in_the_interval():
    """Newcombe's interval of 5 against 0 of 40 leaves 0 out, where McNemar's exact p is 1/16."""
    first, second = [1] * 30 + [0] * 10, [1] * 35 + [0] * 5
    assert newcombe_interval(30, 0, 5, 40)[0] > 0
    comparison = paired(first, second)
    assert comparison.p == 2 / 2**5 and comparison.low == 0.0
    for right in range(0, 40):
        comparison = paired(first, [1] * right + [0] * (40 - right))
        assert (comparison.p > 0.05) == (comparison.low <= 0 <= comparison.high)


def test_shares_that_differ_by_the_same_everywhere_are_no_certainty():
    comparison = paired([0.25, 0.5, 0.0, 0.5], [0.5, 0.75, 0.25, 0.75])
    assert comparison.p >= 2.0**-3 and comparison.low < 0 < comparison.high


def test_the_other_way_round_the_sign_turns():
    for first, second in (([1, 0, 0, 1], [1, 1, 1, 1]), ([0.5, 0.0, 0.25], [0.0, 0.75, 0.5])):
        one, other = paired(first, second), paired(second, first)
        assert (one.difference, one.low, one.high) == pytest.approx((-other.difference, -other.high, -other.low))
        assert one.p == other.p


def test_what_does_not_pair_is_refused():
    for first, second in (([1, 0], [1]), ([1], [1]), ([], [])):
        with pytest.raises(ValueError, match="the same two or more"):
            paired(first, second)
