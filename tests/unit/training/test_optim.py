"""Adam by hand, the learning rate by hand, and a state that goes on as if nothing had happened."""

import math

import pytest
import torch
from torch.nn import Parameter

from paring.training.optim import Adam, Optimiser, learning_rate

ADAM = Adam(lr=0.1, betas=(0.8, 0.9), epsilon=1e-3, weight_decay=0.05, max_grad_norm=1e6)


def rates(**settings):
    adam = Adam(lr=1.0, **settings)
    return [learning_rate(adam, step, 6) for step in range(1, 7)]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [1, 1, 1, 1, 1, 1]),
        ({"warmup": 4}, [0.25, 0.5, 0.75, 1, 1, 1]),
        ({"schedule": "linear"}, [1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]),
        ({"schedule": "linear", "warmup": 2}, [0.5, 1, 1, 0.75, 0.5, 0.25]),
        ({"schedule": "cosine", "warmup": 2}, [0.5, 1, 1, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125)]),
        ({"schedule": "cosine", "warmup": 6}, [n / 6 for n in range(1, 7)]),
        ({"schedule": "linear", "warmup": 12}, [n / 12 for n in range(1, 7)]),
    ],
)
def test_learning_rate_by_hand(settings, expected):
    assert rates(**settings) == pytest.approx(expected)


def parameters(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {name: Parameter(torch.randn(2, 3, generator=generator)) for name in ("layer.A", "layer.B")}


def train(optimiser, steps, *, lr=0.1):
    """Steps with gradients that are a function of the step's number."""
    for step in steps:
        optimiser.zero_grad()
        generator = torch.Generator().manual_seed(100 + step)
        for parameter in optimiser.named.values():
            parameter.grad += torch.randn(parameter.shape, generator=generator)
        optimiser.step(lr)


def test_b_learns_at_a_rate_of_its_own():
    """LoRA+: A moves as it would, B as it would at four times the learning rate."""
    plain, faster, plus = ({name: one for name, one in parameters().items()} for _ in range(3))
    train(Optimiser(plain, ADAM), range(3), lr=0.02)
    train(Optimiser(faster, ADAM), range(3), lr=0.08)
    train(Optimiser(plus, ADAM, b_rate=4.0), range(3), lr=0.02)
    assert torch.equal(plus["layer.A"], plain["layer.A"]) and torch.equal(plus["layer.B"], faster["layer.B"])


def test_steps_by_hand():
    named = parameters()
    value = {name: parameter.detach().clone() for name, parameter in named.items()}
    first, second = ({name: torch.zeros(2, 3) for name in named} for _ in range(2))
    train(Optimiser(named, ADAM), range(3), lr=0.02)
    for step in range(3):
        generator = torch.Generator().manual_seed(100 + step)
        for name in named:
            gradient = torch.randn(2, 3, generator=generator)
            first[name] = 0.8 * first[name] + 0.2 * gradient
            second[name] = 0.9 * second[name] + 0.1 * gradient**2
            corrected = first[name] / (1 - 0.8 ** (step + 1))
            spread = (second[name] / (1 - 0.9 ** (step + 1))).sqrt()
            value[name] = value[name] * (1 - 0.02 * 0.05) - 0.02 * corrected / (spread + 1e-3)
    for name, parameter in named.items():
        torch.testing.assert_close(parameter.detach(), value[name])


def test_a_restored_state_goes_on_bit_for_bit():
    straight = Optimiser(parameters(), ADAM)
    train(straight, range(8))
    before = Optimiser(parameters(), ADAM)
    train(before, range(5))
    saved = {name: tensor.clone() for name, tensor in before.state().items()}
    assert saved.keys() == {f"layer.{m}/{slot}" for m in "AB" for slot in ("step", "exp_avg", "exp_avg_sq")}
    after = Optimiser({name: Parameter(p.detach().clone()) for name, p in before.named.items()}, ADAM)
    after.load_state(saved)
    train(after, range(5, 8))
    for name, parameter in straight.named.items():
        assert torch.equal(parameter, after.named[name])


def test_a_new_optimiser_has_no_state():
    assert Optimiser(parameters(), ADAM).state() == {}


@pytest.fixture
def saved():
    optimiser = Optimiser(parameters(), ADAM)
    train(optimiser, range(1))
    return optimiser.state()


def test_a_state_of_other_names_is_refused(saved):
    missing = {name: tensor for name, tensor in saved.items() if name != "layer.A/exp_avg"}
    for wrong in (missing, saved | {"other.A/exp_avg": torch.zeros(2, 3)}, saved | {"exp_avg": torch.zeros(2, 3)}):
        with pytest.raises(ValueError, match="1 names differ, such as .*exp_avg"):
            Optimiser(parameters(), ADAM).load_state(wrong)


@pytest.mark.parametrize("shape", [(3, 2), (6,)])
def test_a_state_of_another_shape_is_refused(saved, shape):
    with pytest.raises(ValueError, match=r"layer\.A/exp_avg .* belongs to no parameter"):
        Optimiser(parameters(), ADAM).load_state(saved | {"layer.A/exp_avg": torch.zeros(shape)})


def test_clip_scales_the_whole_gradient_and_tells_its_norm():
    optimiser = Optimiser({"a": Parameter(torch.zeros(1)), "b": Parameter(torch.zeros(1))}, Adam(max_grad_norm=1.0))
    a, b = optimiser.named.values()
    a.grad, b.grad = torch.tensor([3.0]), torch.tensor([4.0])
    assert optimiser.clip() == pytest.approx(5.0)
    assert (float(a.grad), float(b.grad)) == pytest.approx((0.6, 0.8), rel=1e-5)
    assert optimiser.clip() == pytest.approx(1.0)
    a.grad, b.grad = torch.tensor([0.3]), torch.tensor([0.4])
    assert optimiser.clip() == pytest.approx(0.5)
    assert (float(a.grad), float(b.grad)) == pytest.approx((0.3, 0.4))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_norm_of_a_gradient_that_is_not_finite_is_not_finite(bad):
    optimiser = Optimiser(parameters(), ADAM)
    optimiser.zero_grad()
    optimiser.named["layer.B"].grad[1, 2] = bad
    assert not math.isfinite(optimiser.clip())


def test_without_a_signal_adam_follows_its_momentum():
    optimiser = Optimiser(parameters(), ADAM)
    train(optimiser, range(2))
    before = optimiser.named["layer.A"].detach().clone()
    optimiser.zero_grad()
    assert all((parameter.grad == 0).all() for parameter in optimiser.named.values())
    optimiser.step(0.1)
    assert (optimiser.named["layer.A"] != before).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"lr": 0.0},
        {"lr": 1.5},
        {"betas": (0.9, 1.0)},
        {"epsilon": 0.0},
        {"weight_decay": -1.0},
        {"max_grad_norm": 0.0},
        {"warmup": -1},
        {"schedule": "step"},
        {"tokens_per_pass": 0},
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Adam(**wrong)


def test_betas_may_be_a_list_as_in_a_recipe():
    assert Adam(betas=[0.8, 0.9]).betas == (0.8, 0.9)
