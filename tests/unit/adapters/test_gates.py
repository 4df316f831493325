"""How gates move: by hand, and what each rule promises."""

from dataclasses import replace

import pytest
import torch

from paring.adapters.gates import DeadZone, Factors, Proximal


def factors(*gates: float, strengths: tuple[float, ...] | None = None, inputs: int = 1, outputs: int = 1) -> Factors:
    """An adapter with these gates, whose |a_i| |b_i| are `strengths`."""
    c_R = torch.tensor(gates, dtype=torch.float64)
    strength_R = torch.tensor(strengths or [1.0] * len(gates), dtype=torch.float64)
    A_RI, B_OR = torch.zeros(len(gates), inputs).double(), torch.zeros(outputs, len(gates)).double()
    A_RI[:, 0], B_OR[0] = strength_R, 1.0
    return Factors(A_RI, B_OR, c_R)


def moved(rule, *gates: float, signal: float = 1.0, **more) -> list[float]:
    one = factors(*gates, **more)
    rule.apply_([one], signal)
    return one.c_R.tolist()


RULE = Proximal(lr=0.02, shrink=0.25, budget="ranks")


def test_the_proximal_step_by_hand():
    # v = [1, 0.4, 0.1], half the mean 0.25: w = [0, 0, 0.6], tau w = 0.15.
    assert moved(RULE, 1.0, 0.4, 0.1) == pytest.approx([1.0, 0.4, 0.0])
    # v = [1, 1, 0.2, 1], half the mean 0.4: w = 1/2, tau w = 0.125.
    assert moved(RULE, 1.0, 1.0, 0.2, 1.0) == pytest.approx([1.0, 1.0, 0.075, 1.0])
    # What Adam drove below 0 or above 1 comes back.
    assert moved(RULE, -0.3, 1.4) == [0.0, 1.0]


def test_importance_is_of_all_three_factors():
    """A small gate before large factors is as important as a large gate before small ones: scale cannot hide."""
    low, high, _ = moved(RULE, 0.5, 1.0, 1.0, strengths=(2.0, 1.0, 10.0))
    # v = [1, 1, 10], half the mean 2: w = 1/2 for both.
    assert 0.5 - low == pytest.approx(0.125) and 1.0 - high == pytest.approx(0.125)


def test_in_parameters_importance_is_for_the_price():
    dear, cheap = factors(1.0, inputs=30, outputs=10), factors(1.0, inputs=5, outputs=5)
    Proximal(lr=0.02, shrink=0.25, budget="parameters").apply_([dear, cheap])
    # v = 1/40 and 1/10, half the mean 1/32: w = 1 - 32/40 and 0.
    assert (float(dear.c_R), float(cheap.c_R)) == (pytest.approx(1 - 0.25 * 0.2), 1.0)


def test_as_long_as_nothing_is_learned_nothing_shrinks():
    assert moved(RULE, 1.0, 0.5, strengths=(0.0, 0.0)) == [1.0, 0.5]


def test_new_components_are_not_shrunk_before_they_could_learn():
    one = factors(1.0, 1.0, 1.0, strengths=(1.0, 0.0, 0.0))
    RULE.apply_([replace(one, fresh=1)])
    assert one.c_R.tolist() == pytest.approx([1.0, 0.75, 1.0])


def test_half_the_signal_is_half_the_shrink_and_none_is_the_projection_alone():
    assert moved(RULE, 1.0, 1.0, 0.2, 1.0, signal=0.5) == pytest.approx([1.0, 1.0, 0.1375, 1.0])
    assert moved(RULE, 0.7, 1.2, -0.1, signal=0.0) == pytest.approx([0.7, 1.0, 0.0])


def test_the_proximal_step_minimises_its_own_problem():
    """prox(v) = argmin over [0, 1] of (c - v)^2 / 2 + tau w c, found on a fine grid."""
    grid = torch.linspace(0, 1, 100_001, dtype=torch.float64)
    one = factors(*torch.linspace(0, 1.2, 13).tolist())
    weights = (1 - 2 * one.c_R / one.c_R.mean()).clamp(min=0)
    best = [float(grid[((grid - c) ** 2 / 2 + 0.3 * w * grid).argmin()]) for c, w in zip(one.c_R, weights, strict=True)]
    Proximal(lr=0.1, shrink=0.3, budget="ranks").apply_([one])
    torch.testing.assert_close(one.c_R, torch.tensor(best, dtype=torch.float64), rtol=0, atol=1e-5)


def test_the_whole_run_shrinks_what_matters_least_by_kappa_whatever_its_length():
    for updates in (100, 10_000):
        one = factors(1.0, 1.0, strengths=(1e-9, 1.0))
        rule = Proximal(lr=1.0, shrink=0.75 / updates)
        for _ in range(updates):
            rule.apply_([one])
        assert one.c_R.tolist() == pytest.approx([0.25, 1.0])


REFERENCE = DeadZone(lr=0.5, l1=0.2)  # tau = 0.1


def test_the_reference_leaves_its_dead_zone_alone():
    assert moved(REFERENCE, 1.0, 0.15, 0.1, 0.05, 0.0) == pytest.approx([0.9, 0.05, 0.1, 0.05, 0.0])
    # Below -tau it is moved towards 0, and the clamp of the next forward pass ends what Adam began.
    assert moved(REFERENCE, -0.05, -0.3, 1.3) == [0.0, 0.0, 1.0]


def test_the_reference_never_reaches_zero_by_l1_alone():
    one = factors(1.0)
    for _ in range(1000):
        REFERENCE.apply_([one])
    assert 0 < float(one.c_R) <= 0.1 + 1e-12
