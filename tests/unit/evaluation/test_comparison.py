"""Two models on the same items: the second less the first."""

import pytest

from paring.evaluation.results import SIZES, compared
from paring.maths.estimates import holm, mcnemar_exact
from paring.maths.pairing import paired
from paring.maths.power import problems_needed


@pytest.fixture
def answered(make_item):
    return lambda answers: [make_item(f"p/{n}", letters) for n, letters in enumerate(answers)]


def test_one_answer_a_problem(answered):
    """Only the first: 2 problems, only the second: 1; of 3 fair coins 2 or more on either side: always."""
    found = compared([answered("rrrww")], [answered("wwrrw")])[0]
    pair = found.paired
    assert (pair.problems, pair.first, pair.second) == (5, 0.6, 0.4)
    assert (pair.first_only, pair.second_only) == (2, 1)
    assert pair.p == mcnemar_exact([1, 1, 1, 0, 0], [0, 0, 1, 1, 0]).p == 1.0
    assert pair == paired([1, 1, 1, 0, 0], [0, 0, 1, 1, 0])
    assert pair.needed(0.05) == problems_needed(0.05, 0.6)
    plain = found.as_plain()
    assert plain["difference"] == pytest.approx(-0.2) and plain["interval"] == [pair.low, pair.high]
    assert (plain["p"], plain["p_holm"], list(plain["needed"])) == (1.0, 1.0, [str(size) for size in SIZES])


def test_several_answers_a_problem_are_compared_by_their_means(answered):
    pair = compared([answered(["rr", "rw"])], [answered(["ww", "rw"])])[0].paired
    assert pair == paired([1, 0.5], [0, 0.5]) and pair.first_only is None
    assert pair.needed(0.1) == problems_needed(0.1, 0.5)


def test_all_tasks_are_one_family(answered):
    found = compared([answered("r" * 8), answered("r" * 6)], [answered("w" * 8), answered("w" * 6)])
    assert [one.paired.p for one in found] == [2 / 2**8, 2 / 2**6]
    assert [one.p_holm for one in found] == holm([2 / 2**8, 2 / 2**6]) == [4 / 2**8, 2 / 2**6]


def test_other_problems_are_refused(answered):
    with pytest.raises(ValueError, match="the two did not answer the same problems"):
        compared([answered("rr")], [answered("rr")[::-1]])
