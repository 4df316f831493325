"""Two models on the same items."""

import pytest

from paring.evaluation.comparison import compare
from paring.maths.estimates import holm, mcnemar_exact, paired_bootstrap
from paring.maths.power import problems_needed


@pytest.fixture
def answered(make_item):
    return lambda answers: [make_item(f"p/{n}", letters) for n, letters in enumerate(answers)]


def test_one_answer_a_problem(answered):
    """Only the first: 2 problems, only the second: 1; of 3 fair coins 2 or more on either side: always."""
    found = compare({"t": answered("rrrww")}, {"t": answered("wwrrw")})["t"]
    assert (found.problems, found.first, found.second) == (5, 0.6, 0.4)
    assert (found.discordant.first_only, found.discordant.second_only) == (2, 1)
    assert found.p == found.discordant.p == mcnemar_exact([1, 1, 1, 0, 0], [0, 0, 1, 1, 0]).p == 1.0
    assert found.difference == paired_bootstrap([1, 1, 1, 0, 0], [0, 0, 1, 1, 0], seed=0)
    assert found.needed[0.05] == problems_needed(0.05, 0.6)


def test_several_answers_a_problem_are_compared_by_their_means(answered):
    found = compare({"t": answered(["rr", "rw"])}, {"t": answered(["ww", "rw"])})["t"]
    assert found.discordant is None
    assert found.difference == paired_bootstrap([1, 0.5], [0, 0.5], seed=0)
    assert found.p == found.difference.p
    assert found.needed[0.1] == problems_needed(0.1, 0.5)


def test_all_tasks_are_one_family(answered):
    first = {"t": answered("r" * 8), "u": answered("r" * 6)}
    second = {"t": answered("w" * 8), "u": answered("w" * 6)}
    found = compare(first, second)
    assert [found[task].p for task in "tu"] == [2 / 2**8, 2 / 2**6]
    assert [found[task].p_holm for task in "tu"] == holm([2 / 2**8, 2 / 2**6]) == [4 / 2**8, 2 / 2**6]


def test_other_problems_are_refused(answered):
    with pytest.raises(ValueError, match="t: the two did not answer the same problems"):
        compare({"t": answered("rr")}, {"t": answered("rr")[::-1]})
