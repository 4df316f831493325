"""pass@k and maj@k against every choice of k answers, and by hand."""

from collections import Counter
from itertools import combinations, product

import pytest

from paring.maths.repeated import majority_at, pass_at


def test_pass_by_hand():
    """One of 4 answers is right: it is in 3 of 6 pairs, and in 3 of 4 triples."""
    assert [pass_at(k, 1, 4) for k in (1, 2, 3, 4)] == [0.25, 0.5, 0.75, 1.0]
    assert pass_at(2, 2, 4) == pytest.approx(1 - 1 / 6)
    assert (pass_at(3, 0, 5), pass_at(1, 5, 5)) == (0.0, 1.0)


def test_majority_by_hand():
    """Right twice, wrong once: alone 2/3; of the pairs one is sure and two are ties of 1/2; all three: right."""
    votes = ["r", "r", "w"]
    assert majority_at(1, votes, "r") == pytest.approx(2 / 3)
    assert majority_at(2, votes, "r") == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert majority_at(3, votes, "r") == 1.0


def test_more_votes_for_one_wrong_answer_win_and_split_ones_lose():
    assert majority_at(5, ["r", "r", "w", "w", "w"], "r") == 0.0
    assert majority_at(5, ["r", "r", "u", "v", "w"], "r") == 1.0
    assert majority_at(4, ["r", "u", "v", "w"], "r") == 0.25


def test_what_is_not_answered_has_no_vote():
    assert majority_at(3, ["r", None, None], "r") == 1.0
    assert majority_at(2, ["r", None, None], "r") == pytest.approx(2 / 3)
    assert majority_at(2, [None, None], "r") == 0.0
    assert majority_at(1, ["w", "w"], "r") == 0.0


def by_every_choice(k, votes, right):
    won = []
    for chosen in combinations(votes, k):
        count = Counter(vote for vote in chosen if vote is not None)
        most = max(count.values(), default=0)
        winners = [vote for vote, number in count.items() if number == most]
        won.append((right in winners) / len(winners) if winners else 0.0)
    return sum(won) / len(won)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
def test_majority_is_the_mean_over_all_choices(length):
    for votes in product(["r", "u", "v", None], repeat=length):
        for k in range(1, length + 1):
            assert majority_at(k, votes, "r") == pytest.approx(by_every_choice(k, votes, "r"))


def test_pass_is_the_mean_over_all_choices():
    for answers in range(1, 7):
        for correct in range(answers + 1):
            drawn = [True] * correct + [False] * (answers - correct)
            for k in range(1, answers + 1):
                every = [any(chosen) for chosen in combinations(drawn, k)]
                assert pass_at(k, correct, answers) == pytest.approx(sum(every) / len(every))


@pytest.mark.parametrize("k", [0, 4])
def test_k_out_of_range(k):
    with pytest.raises(ValueError, match=f"k = {k} of 3 answers: must be at least 1 and at most their number"):
        pass_at(k, 1, 3)
    with pytest.raises(ValueError, match=f"k = {k} of 3 answers"):
        majority_at(k, ["a", "b", "c"], "a")


def test_more_right_than_answers():
    with pytest.raises(ValueError, match="4 right of 3 answers"):
        pass_at(1, 4, 3)
