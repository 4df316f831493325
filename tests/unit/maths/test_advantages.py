"""Standardised rewards: the papers' groups by hand, and groups that say nothing."""

import pytest
import torch

from paring.maths.advantages import best_of_group, leave_one_out, soft_overlong, standardised, without_signal


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [
        # mean 1/4, standard deviation 1/2: 0.75 / 0.5001 and -0.25 / 0.5001
        ([1, 0, 0, 0], [1.4997, -0.4999, -0.4999, -0.4999]),
        # One right and well-formed answer among eight: correctness pays 1, format 0.1.
        ([1.1, *[0.1] * 7], [2.4742, *[-0.35346] * 7]),
        # One well-formed answer among eight wrong ones counts almost as much: the spread is divided out.
        ([0.1, *[0.0] * 7], [2.4679, *[-0.35256] * 7]),
    ],
)
def test_groups_by_hand(rewards, expected):
    advantage_PG = standardised(torch.tensor([rewards], dtype=torch.float64))
    torch.testing.assert_close(advantage_PG, torch.tensor([expected], dtype=torch.float64), rtol=0, atol=6e-5)


def test_epsilon_is_added_to_the_spread():
    reward_PG = torch.tensor([[2.0, 0.0]])  # standard deviation sqrt(2)
    torch.testing.assert_close(standardised(reward_PG, epsilon=0.0), torch.tensor([[0.5**0.5, -(0.5**0.5)]]))
    torch.testing.assert_close(standardised(reward_PG, epsilon=2 - 2**0.5), torch.tensor([[0.5, -0.5]]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_rewards_give_exactly_nothing(dtype):
    groups = [torch.full((1, size), 0.1, dtype=dtype) for size in range(2, 40)]
    assert any((group != group.mean()).any() for group in groups), "some size must show the rounding of the mean"
    assert all((standardised(group, epsilon=1e-12) == 0).all() for group in groups)


def test_groups_do_not_know_each_other():
    reward_PG = torch.tensor([[1.0, 0.0, 0.0], [5.0, 5.0, 5.0], [-3.0, 7.0, 2.0]])
    alone = torch.cat([standardised(row[None]) for row in reward_PG])
    torch.testing.assert_close(standardised(reward_PG), alone, rtol=0, atol=0)


def test_neither_shift_nor_scale_of_the_rewards_matters():
    reward_PG = torch.rand(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    moved = standardised(7 * reward_PG - 2, epsilon=0.0)
    torch.testing.assert_close(moved, standardised(reward_PG, epsilon=0.0))


def test_a_group_of_one_is_refused():
    with pytest.raises(ValueError, match="a group of 1: .* at least 2"):
        standardised(torch.ones(3, 1))


def test_without_signal():
    reward_PG = torch.tensor([[0.1, 0.1], [0.1, 0.2], [0.0, 0.0]])
    assert without_signal(reward_PG).tolist() == [True, False, True]


def test_leave_one_out_is_the_reward_less_the_mean_of_the_others():
    reward_PG = torch.rand(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    others = [[row[torch.arange(6) != member].mean() for member in range(6)] for row in reward_PG]
    torch.testing.assert_close(leave_one_out(reward_PG), reward_PG - torch.tensor(others, dtype=torch.float64))


def test_the_best_of_a_group_and_its_ties():
    reward_PG = torch.tensor([[0.1, 1.1, 1.1], [0.0, 0.0, 0.0], [0.2, 0.1, 0.0]])
    assert best_of_group(reward_PG, "first").int().tolist() == [[0, 1, 0], [1, 0, 0], [1, 0, 0]]
    assert best_of_group(reward_PG, "all").int().tolist() == [[0, 1, 1], [1, 1, 1], [1, 0, 0]]


def test_the_soft_overlong_penalty_of_the_paper():
    """arXiv 2503.14476: at most 20,480 tokens, of which the last 4,096 are penalised."""
    length_PG = torch.tensor([[1, 16_384, 17_408, 18_432, 20_480]])
    penalty_PG = soft_overlong(length_PG, longest=20_480, share=0.2)
    torch.testing.assert_close(penalty_PG, torch.tensor([[0.0, 0.0, -0.25, -0.5, -1.0]], dtype=torch.float64))
    assert not soft_overlong(length_PG, longest=20_480, share=0.0).any()
