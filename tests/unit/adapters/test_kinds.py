"""What the settings of L1RA allow, and when its events come."""

from dataclasses import replace

import pytest

from paring.adapters.kinds import L1ra, L1raReference, Sora, check_events
from paring.adapters.ranks import Move, RankEvent
from paring.adapters.water import Level


def events(adapter, steps):
    return [step for step in range(1, steps + 1) if adapter.is_event(step, steps)]


def test_events_are_evenly_spaced_and_the_last_is_where_ranks_settle():
    assert events(L1ra(events=4), 30) == [5, 10, 15, 20]
    assert events(L1ra(events=3, settle=0.5), 20) == [4, 7, 10]
    assert events(L1ra(events=7, settle=0.3), 10) == list(range(1, 8))
    assert [step for step in range(1, 31) if L1ra().may_grow(step, 30)] == list(range(1, 21))


def test_the_reference_fires_at_multiples_of_its_interval_and_never_after_the_last_step():
    # 8,574 micro-steps at ratio 0.05: 20 events, the last at 8,560 (papers/l1ra.md: the Mistral run).
    fired = events(L1raReference(events=20), 8574)
    assert (len(fired), fired[0], fired[-1]) == (20, 428, 8560)
    assert events(L1raReference(events=4), 20) == [5, 10, 15]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"floor": 9}, "floor = 9 is above rank = 8"),
        ({"cap": 15}, "cap = 15 is below the start rank, slack x rank = 16"),
        ({"settle": 0.0}, "settle"),
        ({"slack": 0.9}, "slack"),
        ({"budget": "bytes"}, "budget"),
        ({"events": 0}, "events"),
    ],
)
def test_settings_refuse(bad, said):
    with pytest.raises(ValueError, match=said):
        L1ra(**bad)


@pytest.mark.parametrize(
    ("adapter", "steps", "said"),
    [
        (L1ra(events=5), 6, r"adapter\.events = 5: ranks move in the first 4 of 6 steps"),
        (L1ra(events=1), 1, r"adapter\.settle = 0\.333333: in a run of 1 steps none is left"),
        (Sora(events=6), 5, r"adapter\.events = 6: the run has 5 steps only"),
        (L1raReference(events=6), 5, r"adapter\.events = 6: the run has 5 steps only"),
    ],
)
def test_a_schedule_that_does_not_fit_is_refused(adapter, steps, said):
    with pytest.raises(ValueError, match=said):
        check_events(adapter, steps)


def test_one_event_a_step_fits():
    check_events(L1ra(events=4), 6)
    check_events(L1raReference(events=5), 5)


def test_the_strengths_do_not_depend_on_the_length_of_the_run():
    # Ranks move in 80 of 120 updates, 20 to each of 4 events: a component of no worth loses 1.5 in each.
    rule = L1ra(shrink=1.5, reach=3.0, events=4).gate_rule(120)
    assert (rule.lr, rule.shrink) == (0.025, 0.075)
    reference = L1raReference().gate_rule(100)
    assert (reference.lr, reference.l1) == (0.02, 0.005)


def test_sora_shrinks_by_its_total_and_removes_at_the_end():
    adapter = Sora(shrink=1.5, reach=2.0)
    assert (adapter.gate_rule(100).shrink, adapter.gate_rule(100).lr) == (0.015, 0.02)
    assert events(adapter, 10) == [10] and events(Sora(events=3), 10) == [4, 7, 10]
    plan = adapter.plan({"a": (0.0, 1.2), "b": (0.4, 0.1)}, matrices_lr=1.0)
    assert plan.moves == {"a": Move((1,), 0)} and plan.unassigned == 0
    every = adapter.plan({"a": (0.0, 0.0), "b": (0.0,)}, matrices_lr=1.0)
    assert every.moves == {"a": Move((0,), 0), "b": Move((), 0)}


def test_the_budget_falls_in_a_straight_line():
    adapter = L1ra(rank=4, budget="ranks", floor=1)
    assert adapter.first_rank == 8
    levels = {path: Level((1.0, *[1e-9] * 7), fresh=0, price=1, most=32) for path in "ab"}
    # Of 16 ranks 8 are left after 20 of 30 steps; halfway 12.
    kept = [
        sum(len(move.kept) for move in adapter.plan(levels, step=step, steps=30).moves.values()) for step in (10, 20)
    ]
    assert kept == [12, 8]


def test_l1_acts_on_what_the_next_budget_has_no_room_for():
    adapter = L1ra(rank=2, slack=2.0, budget="ranks", events=2)
    event = RankEvent(
        step=10,
        ranks={"a": 4, "b": 2},
        unassigned=0,
        closed={},
        pruned={},
        grown={"b": 1},
        worth={"a": (4.0, 2.0, 1.0, 0.5), "b": (3.0,)},
        null={"a": 7.5, "b": 0.75},
        cost={"a": 9, "b": 5},
        kl=None,
        growth=True,
    )
    # 4 ranks are the next budget, and b's new one takes 1: of 4, 6, 2, 1 and 0.5 the last two go, the level is 1.
    assert adapter.weights(event, 30) == {"a": (0.0, 0.0, 0.0, 0.5), "b": (0.0, 0.0)}
    # A random update of b would be worth 300: b counts for 0.3 and goes, with 0.5.
    blunt = replace(event, null={"a": 7.5, "b": 300.0})
    assert adapter.weights(blunt, 30) == {"a": (0.0, 0.0, 0.0, 0.0), "b": (pytest.approx(0.4), 0.0)}
    assert adapter.weights(replace(event, step=20), 30) == {"a": (0.0,) * 4, "b": (0.0,) * 2}
