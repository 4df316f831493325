"""One water level over all modules: plans by hand, and what holds of every plan."""

import random

from paring.adapters.ranks import Move
from paring.adapters.water import MARGIN, RENEWED, Level, nominated, plan_by_water, valued


def level(*value_R, fresh=0, price=1, most=9) -> Level:
    return Level(value_R, fresh, price, most)


def test_the_least_worth_for_its_price_goes_wherever_it_is():
    levels = {"cheap": level(8.0, 3.0, price=2), "dear": level(9.0, 4.0, price=5)}
    # For their price: 4, 1.5; 1.8, 0.8. Of 14, 9 fit without the 0.8; 7 without the 1.5 as well.
    assert plan_by_water(levels, budget=9, floor=0).moves == {"dear": Move((0,), 0)}
    assert plan_by_water(levels, budget=8, floor=0).moves == {"cheap": Move((0,), 0), "dear": Move((0,), 0)}
    assert plan_by_water(levels, budget=8, floor=0).unassigned == 1


def test_new_components_and_the_floor_stay():
    levels = {"a": level(5.0, 0.1, 0.0, fresh=2), "b": level(2.0, 1.0, 0.5)}
    # a's last two are new; two places stay whatever they are worth.
    assert plan_by_water(levels, budget=4, floor=0).moves == {"a": Move((0, 1), 0), "b": Move((0, 1), 0)}
    assert plan_by_water(levels, budget=3, floor=1).moves == {"a": Move((0, 1), 0), "b": Move((0,), 0)}


def test_spare_budget_goes_to_the_module_whose_last_component_is_worth_most():
    # Offers of a: 2, 1, 0.5, 0.25; of b: 1.5, 0.75 ... At most 0.15 of 14 is renewed: two components.
    levels = {"a": level(9.0, 4.0), "b": level(8.0, 3.0)}
    assert plan_by_water(levels, budget=14, floor=0).moves == {"a": Move((0, 1), 1), "b": Move((0, 1), 1)}
    assert RENEWED * 14 >= 2 > RENEWED * 13
    full = {"a": level(9.0, 4.0, most=2), "b": level(8.0, 3.0)}
    assert plan_by_water(full, budget=14, floor=0).moves == {"b": Move((0, 1), 2)}
    assert plan_by_water({"a": level(9.0, 4.0), "b": level()}, budget=14, floor=0).moves == {"a": Move((0, 1), 2)}


def test_a_component_gives_way_to_an_offer_of_much_more():
    levels = {"a": level(*[40.0] * 4), "b": level(*[9.0] * 3)}
    # a offers 20. One of b's 9 would give way to more than 4 x 9 = 36 alone.
    assert MARGIN == 4.0
    assert plan_by_water(levels, budget=7, floor=0).moves == {}
    richer = {"a": level(*[80.0] * 4), "b": level(*[9.0] * 3)}
    assert plan_by_water(richer, budget=7, floor=0).moves == {"a": Move((0, 1, 2, 3), 1), "b": Move((0, 1), 0)}


def test_without_any_signal_the_largest_modules_give_and_nothing_grows():
    levels = {"a": level(0.0, 0.0), "b": level(0.0, 0.0, 0.0)}
    assert plan_by_water(levels, budget=3, floor=0).moves == {"a": Move((0,), 0), "b": Move((0, 1), 0)}


def test_what_is_below_the_level_is_nominated():
    levels = {"a": level(6.0, 2.0), "b": level(3.0, 1.0, price=1)}
    assert nominated(levels, budget=4, floor=0) == {"a": (0.0, 0.0), "b": (0.0, 0.0)}
    # 1 and 2 have to go: the level is 2.
    assert nominated(levels, budget=2, floor=0) == {"a": (0.0, 0.0), "b": (0.0, 0.5)}
    assert nominated(levels, budget=1, floor=0) == {"a": (0.0, 1 - 2 / 3), "b": (0.0, 1 - 1 / 3)}


def test_every_plan_keeps_budget_floor_and_most():
    dice = random.Random(0)
    for _ in range(300):
        levels = {}
        for number in range(dice.randint(1, 6)):
            value_R = sorted((dice.choice([0.0, dice.random()]) for _ in range(dice.randint(0, 5))), reverse=True)
            fresh = dice.choice([0, 0, min(2, len(value_R))])
            levels[f"m{number}"] = level(*value_R, fresh=fresh, price=dice.randint(1, 9), most=max(6, len(value_R)))
        held = sum(len(one.value_R) * one.price for one in levels.values())
        budget, floor = dice.randint(held // 2, held + 20), dice.randint(0, 2)
        plan = plan_by_water(levels, budget=budget, floor=floor)
        after = {path: len(one.value_R) for path, one in levels.items()}
        after |= {path: len(move.kept) + move.grown for path, move in plan.moves.items()}
        assert sum(rank * levels[path].price for path, rank in after.items()) + plan.unassigned == budget
        for path, one in levels.items():
            assert min(floor, len(one.value_R)) <= after[path] <= one.most
            assert path not in plan.moves or plan.moves[path].kept == tuple(range(len(plan.moves[path].kept)))
        grown = sum(move.grown * levels[path].price for path, move in plan.moves.items())
        assert grown <= RENEWED * budget
        least = sum(max(min(floor, len(one.value_R)), one.fresh) * one.price for one in levels.values())
        assert plan.unassigned >= min(0, budget - least)


def test_a_component_counts_by_its_direction_too():
    # W / N = 6 / 1.5 = 4, its root 2.
    assert valued((4.0, 2.0), 1.5) == (8.0, 4.0)
    assert valued((4.0, 2.0), 6.0) == (4.0, 2.0)
    assert valued((0.0, 0.0), 0.0) == (0.0, 0.0) and valued((), 0.0) == ()
