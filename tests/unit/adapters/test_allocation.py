"""The rules of other papers by hand: cubic budget, lowest scores, proportional ranks, sensitivity, gradient norms."""

import pytest
import torch

from paring.adapters.allocation import cubic_budget, plan_by_score, plan_to, proportional_ranks
from paring.adapters.allocators import Adalora, Allocated
from paring.adapters.gradient_scores import GradientNorm, Sensitivity
from paring.adapters.kinds import check_events
from paring.adapters.ranks import Move


def test_the_cubic_budget():
    # Halfway, (1 - 1/2)^3 = 1/8 of the way from 100 to 20 is left: 20 + 10.
    values = [cubic_budget(100, 20, step=step, begin=10, end=30) for step in (1, 10, 15, 20, 30, 40)]
    assert values == [100, 100, 20 + 80 * 0.75**3, 30, 20, 20]


def test_the_lowest_scores_go_over_all_modules():
    scores, prices = {"a": (3.0, 1.0, 5.0), "b": (0.5, 4.0)}, {"a": 10, "b": 4}
    # 38 in all; without b's 0.5 it is 34, without a's 1.0 it is 24.
    plan = plan_by_score(scores, prices, 30)
    assert plan.moves == {"b": Move((1,), 0), "a": Move((0, 2), 0)} and plan.unassigned == 6
    assert plan_by_score(scores, prices, 38).moves == {}
    assert plan_by_score({"a": (1.0, 1.0)}, {"a": 1}, 1).moves == {"a": Move((0,), 0)}


def test_ranks_in_proportion():
    ones = dict.fromkeys("abc", 1)
    most = dict.fromkeys("abc", 9)
    assert proportional_ranks({"a": 6.0, "b": 3.0, "c": 1.0}, ones, most, 10) == {"a": 6, "b": 3, "c": 1}
    # a is full at 2; b and c share the rest.
    assert proportional_ranks({"a": 6.0, "b": 3.0, "c": 1.0}, ones, most | {"a": 2}, 6) == {"a": 2, "b": 3, "c": 1}
    # What a costs is above what is left, so that c takes it.
    prices = {"a": 4, "b": 4, "c": 1}
    assert proportional_ranks({"a": 6.0, "b": 3.0, "c": 1.0}, prices, most, 6) == {"a": 1, "b": 0, "c": 2}


def test_the_way_to_given_ranks():
    assert plan_to({"a": 2, "b": 3, "c": 1}, {"a": 4, "b": 1, "c": 1}, 0).moves == {
        "a": Move((0, 1), 2),
        "b": Move((0,), 0),
    }


def parameters(values, gradients):
    named = {name: torch.tensor(value, requires_grad=True) for name, value in values.items()}
    for name, gradient in gradients.items():
        named[name].grad = torch.tensor(gradient)
    return named


def test_sensitivity_times_uncertainty_by_hand():
    watch = Sensitivity()
    # One module, two components, one input, one output. I of the first: A 2 x 3 = 6, B 1 x 4 = 4; of the second 0.
    named = parameters({"m.A": [[2.0], [1.0]], "m.B": [[1.0, 5.0]]}, {"m.A": [[-3.0], [0.0]], "m.B": [[4.0, 0.0]]})
    watch.observe(named)
    mean, spread = 0.15 * 6, 0.15 * (6 - 0.15 * 6)
    other_mean, other_spread = 0.15 * 4, 0.15 * (4 - 0.15 * 4)
    assert watch.scores("m") == pytest.approx((mean * spread + other_mean * other_spread, 0.0))
    watch.observe(named)
    again = 0.85 * mean + 0.15 * 6
    other_again = 0.85 * other_mean + 0.15 * 4
    expected = again * (0.85 * spread + 0.15 * (6 - again))
    expected += other_again * (0.85 * other_spread + 0.15 * (4 - other_again))
    assert watch.scores("m") == pytest.approx((expected, 0.0))
    # It moves with the components: the second stays, and a new one has none.
    watch.transplant({"m": Move((0,), 1)})
    assert watch.scores("m") == pytest.approx((expected, 0.0))
    watch.transplant({"m": Move((1,), 0)})
    assert watch.scores("m") == (0.0,)


def test_the_gradient_of_the_weight_is_read_off_that_of_b():
    gradient_OI = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    A_RI = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(1)))[0] * 0.3
    named = {"m.A": A_RI.requires_grad_(), "m.B": torch.zeros(5, 4, requires_grad=True)}
    named["m.A"].grad = torch.zeros(4, 4)
    named["m.B"].grad = gradient_OI @ A_RI.detach().T
    watch = GradientNorm()
    assert watch.norm("m") == 0
    watch.observe(named)
    assert watch.norm("m") == pytest.approx(float(gradient_OI.norm()), rel=1e-5)


FEATURES = {"a": (8, 8), "b": (8, 4), "c": (12, 8)}


def test_random_shares_follow_from_the_seed_and_keep_budget_and_sides():
    adapter, plans = Allocated(rule="random", rank=3), {}
    for seed in range(30):
        plan = adapter.plan(FEATURES, dict.fromkeys(FEATURES, 3), GradientNorm(), step=1, steps=9, seed=seed)
        ranks = {
            path: len(plan.moves[path].kept) + plan.moves[path].grown if path in plan.moves else 3 for path in FEATURES
        }
        spent = sum(rank * sum(FEATURES[path]) for path, rank in ranks.items())
        assert spent + plan.unassigned == 3 * 48 and plan.unassigned >= 0
        assert all(rank <= min(FEATURES[path]) for path, rank in ranks.items())
        plans[seed] = ranks
    assert len({tuple(ranks.values()) for ranks in plans.values()}) > 10
    again = adapter.plan(FEATURES, dict.fromkeys(FEATURES, 3), GradientNorm(), step=1, steps=9, seed=0)
    assert again == adapter.plan(FEATURES, dict.fromkeys(FEATURES, 3), GradientNorm(), step=1, steps=9, seed=0)


def test_a_silent_probe_leaves_the_ranks():
    now = dict.fromkeys(FEATURES, 3)
    assert Allocated().plan(FEATURES, now, GradientNorm(), step=1, steps=9, seed=0).moves == {}
    assert Adalora().plan(FEATURES, now, Sensitivity(), step=5, steps=9, seed=0).moves == {}


def test_the_schedules():
    adapter = Adalora(events=4, begin=0.1, settle=0.5)
    assert [step for step in range(1, 101) if adapter.is_event(step, 100)] == [20, 30, 40, 50]
    assert (adapter.first_rank, Adalora(rank=1, slack=1.2).first_rank) == (12, 1)
    assert [step for step in range(1, 11) if Allocated(probe=3).is_event(step, 10)] == [3]


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        (Adalora(events=9), r"adapter.events = 9: ranks move in steps 2 to 7 of 10"),
        (Allocated(probe=10), r"adapter.probe = 10: no step of 10 is left after it"),
    ],
)
def test_a_schedule_that_does_not_fit(adapter, said):
    with pytest.raises(ValueError, match=said):
        check_events(adapter, 10)


def test_no_part_in_which_ranks_move():
    with pytest.raises(ValueError, match=r"begin \+ settle = 1.2"):
        Adalora(begin=0.5, settle=0.7)
