"""The fused steps of a layer against the formulas that torch differentiates itself."""

import pytest
import torch

from paring.policy.fused import rms_norm, rotated, swiglu


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).float()


def slopes(out, inputs):
    weight = numbers(*out.shape, seed=9)
    return torch.autograd.grad((out * weight).sum(), inputs)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 50.0])
def test_rms_norm(scale):
    x = (scale * numbers(3, 5, 8)).requires_grad_()
    weight_D = numbers(8, seed=1)
    plain = x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight_D
    out = rms_norm(x, weight_D, 1e-5)
    torch.testing.assert_close(out, plain)
    torch.testing.assert_close(slopes(out, [x]), slopes(plain, [x]), rtol=1e-5, atol=1e-5 / scale)


def test_rms_norm_by_hand():
    out = rms_norm(torch.tensor([[3.0, 4.0]]), torch.tensor([1.0, 2.0]), 0.0)
    assert out.tolist() == [pytest.approx([3 / 12.5**0.5, 8 / 12.5**0.5])]


def test_swiglu():
    gate, up = numbers(4, 6).requires_grad_(), numbers(4, 6, seed=1).requires_grad_()
    plain = gate * torch.sigmoid(gate) * up
    torch.testing.assert_close(swiglu(gate, up), plain)
    torch.testing.assert_close(slopes(swiglu(gate, up), [gate, up]), slopes(plain, [gate, up]))


def test_rotation_turns_each_pair_by_its_angle():
    angle = torch.tensor([0.3, 1.1])
    both = torch.cat([angle, angle])
    heads = numbers(1, 1, 2, 4)
    out = rotated(heads, both.cos(), both.sin())
    found, given = (torch.complex(part[..., :2], part[..., 2:]) for part in (out, heads))
    torch.testing.assert_close(found, given * torch.polar(torch.ones(2), angle))


@pytest.mark.parametrize("norm_of", [1, 3])
def test_bfloat16_keeps_its_type(norm_of):
    x = numbers(norm_of, 8).bfloat16().requires_grad_()
    out = rms_norm(x, torch.ones(8, dtype=torch.bfloat16), 1e-5)
    (slope,) = torch.autograd.grad(out.float().sum(), x)
    assert (out.dtype, slope.dtype) == (torch.bfloat16, torch.bfloat16)
    exact = rms_norm(x.detach().float(), torch.ones(8), 1e-5)
    torch.testing.assert_close(out.float(), exact, rtol=2e-2, atol=2e-2)
