"""The engine that lags: when it is refreshed, which policy samples, and that a checkpoint remembers it."""

import pytest
import torch

from paring.adapters.attach import load_state, set_ranks, state
from paring.rollout.lagged import LaggedEngine
from paring.types import Key


def values(policy):
    return {name: value.clone() for name, value in state(policy.adapters).items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def train_a_step(policy):
    for value in state(policy.adapters).values():
        value.add_(1)


class Seen:
    """An engine that notes with which values it samples."""

    def __init__(self, policy):
        self.policy, self.held = policy, []

    def sample(self, problems, group_size, sampling, key):
        self.held.append(values(self.policy))
        return []


def lagged(policy, every, ahead=0):
    return LaggedEngine(Seen(policy), policy.adapters, every, ahead)


def sample(engine, step):
    engine.sample([], 1, None, Key(0, step))
    return engine.engine.held[-1]


@pytest.mark.parametrize(("every", "ages"), [(1, [0] * 6), (2, [0, 1, 0, 1, 0, 1]), (4, [0, 1, 2, 3, 0, 1])])
def test_what_samples_is_the_policy_of_so_many_steps_ago(make_policy, every, ages):
    policy = make_policy()
    engine, history = lagged(policy, every), []
    for step, age in enumerate(ages):
        history.append(values(policy))
        for _ in range(2):  # a redraw is another call of the same step
            assert same(sample(engine, step), history[step - age])
            assert (engine.age, engine.older is None) == (age, age == 0)
        if engine.older:
            with engine.older():
                assert same(values(policy), history[step - age])
        assert same(values(policy), history[step]), "the policy trained is untouched"
        train_a_step(policy)


def test_a_refresh_out_of_turn_begins_a_new_age(make_policy):
    """As after a rank event."""
    policy = make_policy()
    engine, ages = lagged(policy, 3), []
    for step in range(7):
        sample(engine, step)
        ages.append(engine.age)
        train_a_step(policy)
        if step == 1:
            engine.earlier.refresh()
    assert ages == [0, 1, 0, 1, 2, 0, 1]


@pytest.mark.parametrize("refreshed", [False, True])
def test_a_checkpoint_holds_it(make_policy, refreshed):
    policy, resumed = make_policy(), make_policy()
    engine, again = lagged(policy, 3), lagged(resumed, 3)
    sample(engine, 1)
    train_a_step(policy)
    if refreshed:
        engine.earlier.refresh()
    again.earlier.load_tensors({name: value.clone() for name, value in engine.earlier.tensors().items()})
    train_a_step(resumed)
    assert same(sample(again, 2), sample(engine, 2))
    assert again.age == engine.age == (0 if refreshed else 1)
    assert again.earlier.tensors()["age"] == engine.earlier.tensors()["age"]


@pytest.mark.parametrize(("ahead", "ages"), [(1, [0, 1, 1, 1, 1]), (3, [0, 1, 2, 3, 3])])
def test_ahead_the_lag_is_fixed_whatever_the_ranks(make_policy, ahead, ages):
    policy = make_policy()
    engine, history = lagged(policy, 1, ahead), []
    for step, age in enumerate(ages, start=1):
        history.append(values(policy))
        for _ in range(2):
            assert same(sample(engine, step), history[step - 1 - age])
            assert engine.age == age
        later = [engine.earlier.of_step(step + more) for more in range(ahead + 1)]
        wanted = [history[max(0, step + more - 1 - ahead)] for more in range(ahead + 1)]
        assert all(map(same, later, wanted)), "what is sampled now for the steps to come"
        assert same(values(policy), history[-1])
        train_a_step(policy)
        if step == 2:
            set_ranks(policy.adapters, {path: 1 + place for place, path in enumerate(policy.adapters)})
            engine.earlier.refresh()


def test_ahead_a_checkpoint_holds_the_policies_of_the_last_steps(make_policy):
    policy = make_policy()
    engine = lagged(policy, 1, 2)
    for step in range(1, 7):
        sample(engine, step)
        train_a_step(policy)
        held = {name: value.clone() for name, value in engine.earlier.tensors().items()}
        assert len(held) == min(step, 2) * len(values(policy))
        resumed = make_policy()
        load_state(resumed.adapters, values(policy))
        again, longer = lagged(resumed, 1, 2), lagged(policy, 1, 2)
        for other in (again, longer):
            other.earlier.load_tensors(held)
        assert same(sample(again, step + 1), sample(longer, step + 1))
        assert again.age == min(step, 2)


def test_ahead_a_rollout_that_does_not_end_leaves_the_sampler_as_it_was(make_policy):
    engine = lagged(make_policy(), 1, 2)
    for step in (1, 2, 3):
        sample(engine, step)
    before = engine.earlier.tensors()
    with pytest.raises(RuntimeError), engine.steady():
        sample(engine, 4)
        raise RuntimeError
    after = engine.earlier.tensors()
    assert before.keys() == after.keys() and all(after[name] is value for name, value in before.items())


def test_on_policy_nothing_is_remembered(make_policy):
    engine = lagged(make_policy(), 1)
    sample(engine, 1)
    assert engine.earlier.tensors() == {} and engine.older is None
    engine.earlier.load_tensors({})
    assert engine.older is None


def test_an_error_within_leaves_the_policy_as_it_was(make_policy):
    policy = make_policy()
    engine = lagged(policy, 2)
    sample(engine, 1)
    train_a_step(policy)
    sample(engine, 2)
    before = values(policy)
    with pytest.raises(RuntimeError), engine.older():
        raise RuntimeError
    assert same(values(policy), before)
