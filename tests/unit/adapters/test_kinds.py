"""What the settings of L1RA allow, and when its events come."""

import pytest

from paring.adapters.kinds import L1ra, L1raReference, check_events


def events(adapter, steps):
    return [step for step in range(1, steps + 1) if adapter.is_event(step, steps)]


def test_events_are_evenly_spaced_and_the_last_is_at_the_end():
    assert events(L1ra(events=4), 20) == [5, 10, 15, 20]
    assert events(L1ra(events=3), 10) == [4, 7, 10]
    assert events(L1ra(events=10), 10) == list(range(1, 11))


def test_the_reference_fires_at_multiples_of_its_interval_and_never_after_the_last_step():
    # 8,574 micro-steps at ratio 0.05: 20 events, the last at 8,560 (papers/l1ra.md: the Mistral run).
    fired = events(L1raReference(events=20), 8574)
    assert (len(fired), fired[0], fired[-1]) == (20, 428, 8560)
    assert events(L1raReference(events=4), 20) == [5, 10, 15]


def test_growth_ends_before_the_run_does():
    adapter = L1ra(events=10, settle=0.3)
    assert [step for step in events(adapter, 100) if adapter.may_grow(step, 100)] == [10, 20, 30, 40, 50, 60, 70]
    assert not L1ra(settle=0.0).may_grow(100, 100)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"floor": 9}, "floor = 9 is above the start rank 8"),
        ({"cap": 7}, "cap = 7 is below the start rank 8"),
        ({"shrink": 0.2, "reach": 0.5}, "shrink \\+ reach = 0.7: no gate could come from 1 to 0"),
        ({"budget": "bytes"}, "budget"),
        ({"events": 0}, "events"),
    ],
)
def test_settings_refuse(bad, said):
    with pytest.raises(ValueError, match=said):
        L1ra(**bad)


def test_more_events_than_steps_are_refused():
    check_events(L1ra(events=5), 5)
    with pytest.raises(ValueError, match=r"adapter\.events = 6: the run has 5 steps only"):
        check_events(L1ra(events=6), 5)


def test_the_strengths_are_totals_of_the_run():
    rule = L1ra(shrink=1.5, reach=2.0).gate_rule(100)
    assert (rule.lr, rule.shrink) == (0.02, 0.015)
    reference = L1raReference().gate_rule(100)
    assert (reference.lr, reference.l1) == (0.02, 0.005)
