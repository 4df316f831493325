"""How gates move: by hand, and what each rule promises."""

import pytest
import torch

from paring.adapters.gates import DeadZone, Proximal


def moved(rule, *gates: float, signal: float = 1.0) -> list[float]:
    c_R = torch.tensor(gates)
    rule.apply_([c_R], signal)
    return c_R.tolist()


def test_the_proximal_step_by_hand():
    rule = Proximal(lr=0.02, shrink=0.25)
    # 1 - 0.25; 0.5 - 0.25; below tau it is 0 exactly; what Adam drove below 0 or above 1 comes back.
    assert moved(rule, 1.0, 0.5, 0.2, 0.0, -0.3, 1.4) == [0.75, 0.25, 0.0, 0.0, 0.0, 1.0]


def test_half_the_signal_is_half_the_shrink_and_none_is_the_projection_alone():
    rule = Proximal(lr=0.02, shrink=0.25)
    assert moved(rule, 1.0, 0.2, signal=0.5) == pytest.approx([0.875, 0.075])
    assert moved(rule, 0.7, 1.2, -0.1, signal=0.0) == pytest.approx([0.7, 1.0, 0.0])


def test_the_proximal_step_minimises_its_own_problem():
    """prox(v) = argmin over [0, 1] of (c - v)^2 / 2 + tau c, found on a fine grid."""
    grid = torch.linspace(0, 1, 100_001, dtype=torch.float64)
    values = torch.linspace(-0.5, 1.6, 22, dtype=torch.float64)
    best = [float(grid[((grid - v) ** 2 / 2 + 0.3 * grid).argmin()]) for v in values]
    Proximal(lr=0.1, shrink=0.3).apply_([values])
    torch.testing.assert_close(values, torch.tensor(best, dtype=torch.float64), rtol=0, atol=1e-5)


def test_the_whole_run_shrinks_by_kappa_whatever_its_length():
    for updates in (10, 1000):
        c_R = torch.tensor([1.0], dtype=torch.float64)
        rule = Proximal(lr=1.0, shrink=0.75 / updates)
        for _ in range(updates):
            rule.apply_([c_R])
        assert float(c_R) == pytest.approx(0.25)


def test_the_reference_leaves_its_dead_zone_alone():
    rule = DeadZone(lr=0.5, l1=0.2)  # tau = 0.1
    assert moved(rule, 1.0, 0.15, 0.1, 0.05, 0.0) == pytest.approx([0.9, 0.05, 0.1, 0.05, 0.0])
    # Below -tau it is moved towards 0, and the clamp of the next forward pass ends what Adam began.
    assert moved(rule, -0.05, -0.3, 1.3) == [0.0, 0.0, 1.0]


def test_the_reference_never_reaches_zero_by_l1_alone():
    rule, c_R = DeadZone(lr=0.5, l1=0.2), torch.tensor([1.0], dtype=torch.float64)
    for _ in range(1000):
        rule.apply_([c_R])
    assert 0 < float(c_R) <= 0.1 + 1e-12
