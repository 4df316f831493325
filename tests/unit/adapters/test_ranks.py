"""The reference's plan by hand, and the removal of closed components."""

from paring.adapters.ranks import Move, plan_as_reference, without_closed


def test_what_is_closed_goes():
    assert without_closed({"a": (0.0, 0.3, 0.0), "b": (1.0,), "c": (0.0,)}) == {"a": Move((1,), 0), "c": Move((), 0)}


def test_the_reference_keeps_the_last_and_gives_in_turn_by_the_smallest_gate():
    gates = {"all": (0.0, 0.0, 0.0), "low": (0.3, 0.5), "high": (0.9, 0.8), "one": (0.0,)}
    found = plan_as_reference(gates, budget=8, threshold=1e-6)
    # Two go from `all`; high (0.8) is served before low (0.3); `one` lost nothing, but may not receive either.
    assert found.moves == {"all": Move((2,), 0), "low": Move((0, 1), 1), "high": Move((0, 1), 1)}
    assert found.unassigned == 0
    assert plan_as_reference({"all": gates["all"], "one": gates["one"]}, budget=4, threshold=1e-6).unassigned == 2


def test_the_reference_compares_strictly():
    gates = {"a": (1e-6, 0.9), "b": (1.0,)}
    assert plan_as_reference(gates, budget=3, threshold=1e-6).moves == {}
    assert plan_as_reference(gates, budget=3, threshold=2e-6).moves == {"a": Move((1,), 0), "b": Move((0,), 1)}
