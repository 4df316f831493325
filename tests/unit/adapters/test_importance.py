"""What components do to the function, against sums written out, and what a turn of them keeps."""

import pytest
import torch
from torch import nn

from paring.adapters.importance import Seen, watched
from paring.adapters.lowrank import LowRankLinear
from paring.adapters.moments import RANK_AXIS
from paring.adapters.rotation import turn, turned

TOKENS, INPUTS, OUTPUTS, RANK = 40, 6, 5, 3


@pytest.fixture
def adapter():
    """An adapter in float64 with random factors and gates."""
    generator = torch.Generator().manual_seed(0)
    base = nn.Linear(INPUTS, OUTPUTS, bias=False).double()
    base.weight.data.normal_(generator=generator)
    one = LowRankLinear(base, rank=RANK, scale=0.5, generator=generator, gated=True, dtype=torch.float64)
    one.B_OR.data.normal_(generator=generator)
    one.c_R.data.uniform_(0.2, 1.0, generator=generator)
    return one


@pytest.fixture
def x_NI():
    return torch.randn(TOKENS, INPUTS, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def loss_of(y_NO):
    """Any function of the outputs whose gradient differs from token to token."""
    return (y_NO.sin() * torch.arange(1.0, OUTPUTS + 1)).sum()


def seen_of(adapter, x_NI) -> Seen:
    with watched({"m": adapter}, {"m": adapter}) as seen:
        loss_of(adapter(x_NI)).backward()
    seen["m"].places = TOKENS
    return seen["m"]


def second_moments(adapter, x_NI):
    """X = E[x x'] and D = E[d d'], written out."""
    y_NO = adapter(x_NI).detach().requires_grad_()
    loss_of(y_NO).backward()
    return x_NI.T @ x_NI / TOKENS, y_NO.grad.T @ y_NO.grad / TOKENS


def divergence_of(delta_OI, X_II, D_OO):
    return float((delta_OI.T @ D_OO @ delta_OI @ X_II).trace() / 2)


def test_the_worth_of_all_components_is_the_kl_of_the_update(adapter, x_NI):
    X_II, D_OO = second_moments(adapter, x_NI)
    worth_R = seen_of(adapter, x_NI).worth_R()
    expected = divergence_of(adapter.delta_OI().double(), X_II, D_OO)
    assert sum(worth_R) == pytest.approx(expected, rel=1e-3)
    assert list(worth_R) == sorted(worth_R, reverse=True) and len(worth_R) == RANK


def test_the_null_is_the_mean_over_updates_of_the_same_norm(adapter, x_NI):
    X_II, D_OO = second_moments(adapter, x_NI)
    draws = torch.randn(4000, OUTPUTS, INPUTS, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    draws *= adapter.delta_norm() / draws.flatten(1).norm(dim=1)[:, None, None]
    expected = (draws.transpose(1, 2) @ D_OO @ draws @ X_II).diagonal(dim1=1, dim2=2).sum(1).mean() / 2
    assert seen_of(adapter, x_NI).null(adapter) == pytest.approx(float(expected), rel=0.05)


def test_sums_of_two_passes_are_those_of_both(adapter, x_NI):
    both, parts = seen_of(adapter, x_NI), [seen_of(adapter, x_NI[:10]), seen_of(adapter, x_NI[10:])]
    for one, size in zip(parts, (10, TOKENS - 10), strict=True):
        one.places = size
    added = parts[0] + parts[1]
    assert (added.inputs, added.places) == (TOKENS, TOKENS)
    assert added.worth_R() == pytest.approx(both.worth_R(), rel=1e-3)
    assert added.null(adapter) == pytest.approx(both.null(adapter), rel=1e-3)


def test_some_components_alone(adapter, x_NI):
    X_II, D_OO = second_moments(adapter, x_NI)
    alone_OI = 0.5 * torch.outer(adapter.B_OR[:, 1] * adapter.c_R[1], adapter.A_RI[1]).detach()
    assert seen_of(adapter, x_NI).only([1]).worth_R() == pytest.approx([divergence_of(alone_OI, X_II, D_OO)], rel=1e-3)


def test_a_pass_that_keeps_no_graph_counts_nothing(adapter, x_NI):
    with watched({"m": adapter}, {"m": adapter}) as seen, torch.no_grad():
        adapter(x_NI)
    assert seen["m"].inputs == 0 and max(seen["m"].worth_R()) < 1e-30
    assert not adapter._forward_hooks


def test_a_turn_keeps_the_function_and_orders_its_parts(adapter, x_NI):
    before, norm = adapter(x_NI).detach(), float(adapter.A_RI.norm(dim=1).mean())
    X_II, D_OO = second_moments(adapter, x_NI)
    made = turn(adapter, seen_of(adapter, x_NI))
    torch.testing.assert_close(adapter(x_NI), before)
    assert adapter.c_R.tolist() == [1.0] * RANK
    assert adapter.A_RI.norm(dim=1).tolist() == pytest.approx([norm] * RANK)
    for place, worth in enumerate(made.worth_R):
        alone_OI = 0.5 * torch.outer(adapter.B_OR[:, place], adapter.A_RI[place]).detach()
        assert divergence_of(alone_OI, X_II, D_OO) == pytest.approx(worth, rel=1e-3)
    # Independent: what two do together is the sum of what they do alone.
    again = seen_of(adapter, x_NI)
    assert again.only([0, 2]).worth_R() == pytest.approx([made.worth_R[0], made.worth_R[2]], abs=1e-5)


def test_first_moments_turn_as_gradients_do(adapter, x_NI):
    seen = seen_of(adapter, x_NI)
    gradients = {"A": adapter.A_RI.grad.clone(), "B": adapter.B_OR.grad.clone()}
    made = turn(adapter, seen)
    adapter.zero_grad()
    loss_of(adapter(x_NI)).backward()
    torch.testing.assert_close(turned(gradients["A"], made, "A", second=False), adapter.A_RI.grad)
    torch.testing.assert_close(turned(gradients["B"], made, "B", second=False), adapter.B_OR.grad)


def test_second_moments_stay_positive_and_those_of_gates_become_their_mean(adapter, x_NI):
    made = turn(adapter, seen_of(adapter, x_NI))
    for last, like in (("A", adapter.A_RI), ("B", adapter.B_OR)):
        moved = turned(torch.rand_like(like), made, last, second=True)
        assert moved.shape == like.shape and bool((moved > 0).all()), RANK_AXIS[last]
    squares_R = torch.tensor([1.0, 2.0, 6.0])
    assert turned(squares_R, made, "c", second=True).tolist() == [3.0] * RANK
    assert turned(squares_R, made, "c", second=False).tolist() == [0.0] * RANK


def test_a_new_component_can_be_turned_too(adapter, x_NI):
    """B of a new component is 0, and so is what it is worth."""
    adapter.B_OR.data[:, 2] = 0.0
    before = adapter(x_NI).detach()
    made = turn(adapter, seen_of(adapter, x_NI))
    torch.testing.assert_close(adapter(x_NI), before, rtol=1e-6, atol=1e-6)
    assert made.worth_R[2] < 1e-5 * made.worth_R[0]
    assert bool(adapter.A_RI.isfinite().all())
