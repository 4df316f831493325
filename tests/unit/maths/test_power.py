"""Problems needed: by hand, and against McNemar's own power."""

import numpy as np
import pytest

from paring.maths.power import detectable, margin_shown, problems_needed


def test_by_hand():
    """((1.959964 sqrt(.2) + .841621 sqrt(.2 - .01)) / .1)^2 = (1.24337 / .1)^2 = 154.6."""
    assert problems_needed(0.1, 0.2) == 155


def test_a_difference_needs_at_least_as_many_discordant_problems():
    assert problems_needed(0.1, 0.0) == problems_needed(0.1, 0.1) < problems_needed(0.1, 0.3)


def test_so_many_problems_give_about_that_power():
    """The test is McNemar's without continuity correction: |b - c| > 1.96 sqrt(b + c)."""
    difference, discordant = 0.05, 0.15
    number = problems_needed(difference, discordant)
    draws = np.random.default_rng(0)
    first = (discordant + difference) / 2
    counts = draws.multinomial(number, [first, discordant - first, 1 - discordant], size=20_000)
    seen = abs(counts[:, 0] - counts[:, 1]) > 1.959964 * np.sqrt(counts[:, 0] + counts[:, 1])
    assert seen.mean() == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize(("difference", "discordant"), [(0, 0.1), (-0.1, 0.1), (1.1, 0.1), (0.1, 1.1), (0.1, -0.1)])
def test_out_of_range(difference, discordant):
    with pytest.raises(ValueError, match=f"difference={difference}, discordant={discordant}"):
        problems_needed(difference, discordant)


def test_a_difference_that_seeds_detect_by_hand():
    # Five seeds of two arms: 8 degrees of freedom, t_0.975 = 2.306004 and t_0.8 = 0.888890.
    assert detectable(2.0, 5) == pytest.approx((2.306004 + 0.888890) * 2 * (2 / 5) ** 0.5, abs=1e-5)
    # Two one-sided tests: t_0.95 = 1.859548 and t_0.9 = 1.396815.
    assert margin_shown(2.0, 5) == pytest.approx((1.859548 + 1.396815) * 2 * (2 / 5) ** 0.5, abs=1e-5)
    assert detectable(2.0, 5, level=0.05 / 12) > detectable(2.0, 5) > detectable(2.0, 6)
    with pytest.raises(ValueError, match="1 seeds"):
        detectable(2.0, 1)
