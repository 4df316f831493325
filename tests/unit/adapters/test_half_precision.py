"""Adapters in fp32 over a base in bf16 on a GPU: products by bf16 copies, tried on a CPU by choosing the type."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional

from paring.adapters import lowrank
from paring.adapters.lowrank import LowRankLinear, product_dtype

ROUNDING = 2.0**-8
"""The widest relative error of one rounding to bf16."""


@pytest.mark.parametrize(("dtype", "is_cuda", "chosen"), [
    (torch.bfloat16, True, torch.bfloat16),
    (torch.float16, True, torch.float16),
    (torch.float32, True, torch.float32),
    (torch.bfloat16, False, torch.float32),
])  # fmt: skip
def test_an_adapter_multiplies_in_half_precision_on_a_gpu_alone(dtype, is_cuda, chosen):
    assert product_dtype(SimpleNamespace(dtype=dtype, is_cuda=is_cuda), torch.float32) == chosen


@pytest.fixture
def gated():
    generator = torch.Generator().manual_seed(0)
    base = nn.Linear(96, 80, bias=False).to(torch.bfloat16)
    adapter = LowRankLinear(base, rank=16, scale=2.0, generator=generator, gated=True)
    adapter.B_OR.data.normal_(0, 0.1, generator=generator)
    adapter.c_R.data.uniform_(0.2, 1.5, generator=generator)
    return adapter


@pytest.fixture
def x():
    return torch.randn(2, 150, 96, generator=torch.Generator().manual_seed(1)).to(torch.bfloat16)


def through(adapter, x, monkeypatch, dtype):
    """Output, the gradient of the input, and those of A, B and c, with products in `dtype`."""
    monkeypatch.setattr(lowrank, "product_dtype", lambda given, weights: dtype)
    x, target = x.clone().requires_grad_(), torch.ones(80, dtype=torch.bfloat16)
    y = adapter(x)
    adapter.zero_grad()
    (functional.silu(y.float()) * target).sum().backward()
    return [y.detach(), x.grad, *(one.grad.clone() for one in (adapter.A_RI, adapter.B_OR, adapter.c_R))]


def test_products_in_bf16_are_those_in_fp32_within_its_rounding(gated, x, monkeypatch):
    """The output differs by the rounding of A, of B, of u = A x and of itself; directions of gradients agree."""
    exact, rounded = (through(gated, x, monkeypatch, dtype) for dtype in (torch.float32, torch.bfloat16))
    update = (exact[0] - gated.base(x)).float().norm(dim=-1)
    error = (rounded[0] - exact[0]).float().norm(dim=-1)
    assert (error <= 2 * ROUNDING * (update + exact[0].float().norm(dim=-1))).all()
    assert error.max() > 0  # the products were not made in fp32 after all
    for ours, theirs in zip(rounded[1:], exact[1:], strict=True):
        assert functional.cosine_similarity(ours.float().flatten(), theirs.float().flatten(), dim=0) > 0.9999
        assert (ours.float() - theirs.float()).norm() < 2 * ROUNDING * theirs.float().norm()


def test_weights_and_gradients_stay_in_fp32_and_gradients_add_up_in_it(gated, x, monkeypatch):
    parts = [through(gated, part[None], monkeypatch, torch.bfloat16)[2:] for part in x]
    gated.zero_grad()
    for part in x:
        functional.silu(gated(part[None]).float()).sum().backward()
    for parameter, first, second in zip((gated.A_RI, gated.B_OR, gated.c_R), *parts, strict=True):
        assert parameter.dtype == parameter.grad.dtype == first.dtype == torch.float32
        assert torch.equal(parameter.grad, first + second)


def test_a_step_smaller_than_the_rounding_of_bf16_moves_the_weights(gated, x, monkeypatch):
    """Why the weights are fp32: 1e-5 of 0.1 would be lost in bf16."""
    monkeypatch.setattr(lowrank, "product_dtype", lambda given, weights: torch.bfloat16)
    optimiser = torch.optim.AdamW([gated.A_RI, gated.B_OR], lr=1e-6, weight_decay=0.0)
    before = gated.B_OR.detach().clone()
    gated(x).float().sum().backward()
    optimiser.step()
    assert ((gated.B_OR - before).abs() > 5e-7).float().mean() > 0.99
    assert {moment.dtype for moment in optimiser.state[gated.B_OR].values()} == {torch.float32}


def test_what_the_backward_keeps_is_in_half_precision(gated, x, monkeypatch):
    kept = []
    monkeypatch.setattr(lowrank, "product_dtype", lambda given, weights: torch.bfloat16)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        gated.c_R = None
        gated(x)
    assert {tensor.dtype for tensor in kept if tensor.numel() >= x[..., :16].numel()} == {torch.bfloat16}
