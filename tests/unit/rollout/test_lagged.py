"""The policy that samples: when it is refreshed, what it gives back, and that a checkpoint remembers it."""

import pytest
import torch
from paring.training.staleness import SamplingPolicy

from paring.adapters.attach import state


def values(policy):
    return {name: value.clone() for name, value in state(policy.adapters).items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def train_a_step(policy):
    for value in state(policy.adapters).values():
        value.add_(1)


@pytest.mark.parametrize(("every", "ages"), [(1, [0] * 6), (2, [0, 1, 0, 1, 0, 1]), (4, [0, 1, 2, 3, 0, 1])])
def test_what_samples_is_the_policy_of_so_many_steps_ago(make_policy, every, ages):
    policy = make_policy()
    sampling, history = SamplingPolicy(policy.adapters, every), []
    for step, age in enumerate(ages):
        history.append(values(policy))
        sampling.begin_step()
        assert (sampling.age, sampling.is_stale) == (age, age > 0)
        with sampling.as_it_was():
            assert same(values(policy), history[step - age])
        assert same(values(policy), history[step]), "the policy trained is untouched"
        train_a_step(policy)
        sampling.end_step()


def test_a_refresh_out_of_turn_begins_a_new_age(make_policy):
    """As after a rank event."""
    policy = make_policy()
    sampling = SamplingPolicy(policy.adapters, 3)
    ages = []
    for step in range(7):
        sampling.begin_step()
        ages.append(sampling.age)
        train_a_step(policy)
        sampling.end_step()
        if step == 1:
            sampling.refresh()
    assert ages == [0, 1, 0, 1, 2, 0, 1]


def test_a_checkpoint_holds_it(make_policy):
    policy, resumed = make_policy(), make_policy()
    sampling = SamplingPolicy(policy.adapters, 3)
    sampling.begin_step()
    expected = values(policy)
    train_a_step(policy)
    sampling.end_step()
    again = SamplingPolicy(resumed.adapters, 3)
    again.load_tensors({name: value.clone() for name, value in sampling.tensors().items()})
    again.begin_step()
    assert again.age == 1
    with again.as_it_was():
        assert same(values(resumed), expected)


def test_on_policy_nothing_is_remembered(make_policy):
    sampling = SamplingPolicy(make_policy().adapters, 1)
    sampling.begin_step()
    sampling.end_step()
    assert sampling.tensors() == {} and not sampling.is_stale
    sampling.load_tensors({})
    assert not sampling.is_stale


def test_an_error_within_leaves_the_policy_as_it_was(make_policy):
    policy = make_policy()
    sampling = SamplingPolicy(policy.adapters, 2)
    sampling.begin_step()
    train_a_step(policy)
    sampling.end_step()
    before = values(policy)
    with pytest.raises(RuntimeError), sampling.as_it_was():
        raise RuntimeError
    assert same(values(policy), before)
