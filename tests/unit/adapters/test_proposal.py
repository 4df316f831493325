"""The ranks that a measured adapter proposes: by hand, and what holds of every proposal."""

import random

import pytest

from paring.adapters.proposal import Spectrum, proposed_ranks


def test_bids_by_hand():
    # KL / null = 6 / 1.5 = 4, its root 2. The third component is worth half of the second, the fourth half of that.
    spectrum = Spectrum((4.0, 2.0), null=1.5, cost=10, most=4)
    assert list(spectrum.bids()) == pytest.approx([0.8, 0.4, 0.2, 0.1])
    assert list(Spectrum((4.0, 2.0), null=1.5, cost=10, most=1).bids()) == [0.8]


def test_the_highest_bids_take_the_budget():
    # a: 4, 2, 1, 0.5 ... b: 1.5, 0.75 ... at twice the price.
    spectra = {"a": Spectrum((4.0, 2.0), 6.0, 1, 9), "b": Spectrum((3.0,), 3.0, 2, 9)}
    assert proposed_ranks(spectra, 2) == {"a": 2, "b": 0}
    assert proposed_ranks(spectra, 4) == {"a": 2, "b": 1}
    assert proposed_ranks(spectra, 5) == {"a": 3, "b": 1}
    assert proposed_ranks({path: Spectrum((4.0,), 4.0, 3, 1) for path in "ab"}, 5) == {"a": 1, "b": 0}


def test_a_direction_that_any_update_would_have_is_no_sign_of_need():
    """Where two modules are worth the same, the one goes first whose random update is worth less."""
    spectra = {"wide": Spectrum((5.0, 5.0), 20.0, 1, 9), "chosen": Spectrum((5.0, 5.0), 4.0, 1, 9)}
    assert proposed_ranks(spectra, 3) == {"wide": 0, "chosen": 3}


@pytest.mark.parametrize("spectrum", [Spectrum((0.0, 0.0), 0.0, 1, 4), Spectrum((), 0.0, 1, 4)])
def test_no_signal_no_rank(spectrum):
    assert proposed_ranks({"a": spectrum, "b": Spectrum((1.0,), 1.0, 1, 3)}, 9) == {"a": 0, "b": 3}


def test_every_proposal_fits():
    draw = random.Random(0)
    for _ in range(50):
        spectra = {
            str(number): Spectrum(
                tuple(sorted((draw.random() for _ in range(draw.randint(0, 4))), reverse=True)),
                draw.random(),
                draw.randint(1, 9),
                draw.randint(0, 6),
            )
            for number in range(6)
        }
        budget = draw.randint(0, 60)
        ranks = proposed_ranks(spectra, budget)
        assert sum(rank * spectra[path].cost for path, rank in ranks.items()) <= budget
        assert all(0 <= rank <= spectra[path].most for path, rank in ranks.items())
