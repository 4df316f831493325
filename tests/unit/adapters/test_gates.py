"""How gates move: by hand, and what each rule promises."""

import pytest
import torch

from paring.adapters.gates import DeadZone, Factors, Proximal, SoftThreshold


def factors(*gates: float, weights: tuple[float, ...] | None = None) -> Factors:
    """An adapter with these gates and these weights of L1 on them."""
    c_R = torch.tensor(gates, dtype=torch.float64)
    weight_R = torch.tensor(weights or [0.0] * len(gates), dtype=torch.float64)
    return Factors(torch.ones(len(gates), 1), torch.ones(1, len(gates)), c_R, weight_R)


def moved(rule, *gates: float, signal: float = 1.0, weights: tuple[float, ...] | None = None) -> list[float]:
    one = factors(*gates, weights=weights)
    rule.apply_([one], signal)
    return one.c_R.tolist()


RULE = Proximal(lr=0.02, shrink=0.25)


def test_the_proximal_step_by_hand():
    assert moved(RULE, 1.0, 1.0, 0.2, weights=(0.0, 0.5, 1.0)) == pytest.approx([1.0, 0.875, 0.0])
    # What Adam drove below 0 or above 1 comes back.
    assert moved(RULE, -0.3, 1.4) == [0.0, 1.0]


def test_half_the_signal_is_half_the_shrink_and_none_is_the_projection_alone():
    assert moved(RULE, 1.0, 1.0, signal=0.5, weights=(0.0, 1.0)) == pytest.approx([1.0, 0.875])
    assert moved(RULE, 0.7, 1.2, -0.1, signal=0.0, weights=(1.0, 1.0, 1.0)) == pytest.approx([0.7, 1.0, 0.0])


def test_the_proximal_step_minimises_its_own_problem():
    """prox(v) = argmin over [0, 1] of (c - v)^2 / 2 + tau w c, found on a fine grid."""
    grid = torch.linspace(0, 1, 100_001, dtype=torch.float64)
    weights = torch.linspace(1, 0, 13).tolist()
    one = factors(*torch.linspace(0, 1.2, 13).tolist(), weights=tuple(weights))
    best = [float(grid[((grid - c) ** 2 / 2 + 0.3 * w * grid).argmin()]) for c, w in zip(one.c_R, weights, strict=True)]
    Proximal(lr=0.1, shrink=0.3).apply_([one])
    torch.testing.assert_close(one.c_R, torch.tensor(best, dtype=torch.float64), rtol=0, atol=1e-5)


def test_the_soft_threshold_shrinks_all_alike():
    """SoRA: what is within xi of 0 becomes 0, the rest comes nearer by xi; there is no bound above."""
    rule = SoftThreshold(lr=0.02, shrink=0.25)
    assert moved(rule, 1.5, 0.5, 0.25, 0.1, -0.3) == pytest.approx([1.25, 0.25, 0.0, 0.0, 0.0])
    assert moved(rule, 1.0, 0.1, signal=0.5) == pytest.approx([0.875, 0.0])


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
