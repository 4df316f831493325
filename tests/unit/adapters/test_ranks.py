"""Rank plans: by hand, and what must hold of every plan."""

import random

import pytest

from paring.adapters.ranks import Components, Move, plan_as_reference, plan_ranks


def module(gates, strengths=None, cost=10) -> Components:
    return Components(tuple(gates), tuple(strengths or [1.0] * len(gates)), cost)


def in_ranks(cost: int) -> int:
    return 1


def in_parameters(cost: int) -> int:
    return cost


def plan(modules, budget, *, price=in_ranks, floor=1, cap=99, grow=True):
    return plan_ranks(modules, budget=budget, price=price, floor=floor, cap=cap, grow=grow)


def test_zeros_go_and_the_most_important_module_gets_their_place():
    modules = {
        "a": module([1, 0, 1, 0], [1, 9, 1, 9]),
        "b": module([1, 1, 1, 1], [3, 3, 3, 3]),
        "c": module([1, 1, 1, 1], [1, 1, 1, 1]),
    }
    found = plan(modules, 12)
    # Bids: b 12/5 = 2.4 then 12/6 = 2; c 4/5 = 0.8. Both of a's go to b.
    assert found.moves == {"a": Move((0, 2), 0), "b": Move((0, 1, 2, 3), 2)}
    assert found.unassigned == 0


def test_a_module_that_loses_gets_nothing_and_what_nobody_can_take_is_said():
    found = plan({"a": module([1, 0]), "b": module([0, 1])}, 4)
    assert found.moves == {"a": Move((0,), 0), "b": Move((1,), 0)} and found.unassigned == 2


def test_importance_is_the_product_of_all_three_factors():
    """A small gate before large factors is as important as a large gate before small ones."""
    assert module([0.1, 1.0], [5.0, 0.5]).importance_R == pytest.approx((0.5, 0.5))
    assert module([0.01, 1.0], [5.0, 0.5]).importance_R == pytest.approx((0.05, 0.5))


def test_the_largest_components_stay_up_to_the_floor():
    by_strength = {"a": module([0, 0, 0], [1, 3, 2])}
    assert plan(by_strength, 3).moves["a"].kept == (1,)
    assert plan(by_strength, 3, floor=2).moves["a"].kept == (1, 2)
    assert plan(by_strength, 3, floor=0).moves["a"].kept == ()
    # An open gate stays before the strongest closed one.
    assert plan({"a": module([0, 0.01, 0], [9, 1, 9])}, 3).moves["a"].kept == (1,)


def test_nothing_is_given_at_the_end_nor_above_the_cap_nor_to_a_module_without_components():
    modules = {"a": module([1, 0, 0, 0]), "b": module([1, 1, 1, 1]), "c": module([])}
    assert plan(modules, 8, grow=False).moves == {"a": Move((0,), 0)}
    capped = plan(modules, 8, cap=5)
    assert capped.moves["b"].grown == 1 and capped.unassigned == 2


def test_in_parameters_the_dear_module_gets_what_it_can_pay_for():
    modules = {
        "lost": module([1, 0], cost=10),
        "dear": module([1, 1], [50, 50], cost=25),
        "cheap": module([1, 1], cost=4),
    }
    # 10 parameters are free: one rank of dear costs 25; two of cheap cost 8, and 2 remain.
    found = plan(modules, 2 * (10 + 25 + 4), price=in_parameters)
    assert found.moves == {"lost": Move((0,), 0), "cheap": Move((0, 1), 2)} and found.unassigned == 2


@pytest.mark.parametrize("price", [in_ranks, in_parameters])
def test_every_plan_keeps_the_budget_floor_and_cap(price):
    dice = random.Random(0)
    for _ in range(300):
        modules = {
            f"m{number}": module(
                [dice.choice([0.0, dice.random()]) for _ in range(4)],
                [dice.random() for _ in range(4)],
                dice.randint(2, 30),
            )
            for number in range(dice.randint(1, 6))
        }
        budget = sum(4 * price(one.cost) for one in modules.values())
        found = plan(modules, budget, price=price, floor=2, cap=6)
        after = {path: 4 for path in modules} | {
            path: len(move.kept) + move.grown for path, move in found.moves.items()
        }
        held = sum(rank * price(modules[path].cost) for path, rank in after.items())
        assert held + found.unassigned == budget and found.unassigned >= 0
        assert all(2 <= rank <= 6 for rank in after.values())
        assert not [path for path, move in found.moves.items() if move.grown and len(move.kept) < 4]


def test_the_reference_keeps_the_last_and_gives_in_turn_by_the_smallest_gate():
    modules = {
        "all": module([0.0, 0.0, 0.0], [9, 1, 1]),
        "low": module([0.3, 0.5]),
        "high": module([0.9, 0.8]),
        "one": module([0.0]),
    }
    found = plan_as_reference(modules, budget=8, threshold=1e-6)
    # Two go from `all`; high (0.8) is served before low (0.3); `one` lost nothing, but may not receive either.
    assert found.moves == {"all": Move((2,), 0), "low": Move((0, 1), 1), "high": Move((0, 1), 1)}
    assert found.unassigned == 0
    assert plan_as_reference({"all": modules["all"], "one": modules["one"]}, budget=4, threshold=1e-6).unassigned == 2


def test_the_reference_compares_strictly_and_does_not_see_the_strength():
    modules = {"a": module([1e-6, 0.9], [1e9, 1e-9]), "b": module([1.0])}
    assert plan_as_reference(modules, budget=3, threshold=1e-6).moves == {}
    assert plan_as_reference(modules, budget=3, threshold=2e-6).moves == {"a": Move((1,), 0), "b": Move((0,), 1)}
