"""The fused steps of a layer against the formulas that torch differentiates itself."""

import pytest
import torch

from paring.policy.fused import rms_norm, rotated, swiglu


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).float()


def slopes(out, inputs):
    weight = numbers(*out.shape, seed=9)
    return torch.autograd.grad((out * weight).sum(), inputs)


@pytest.mark.parametrize("size", [8, 20])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 50.0])
@pytest.mark.usefixtures("way")
def test_rms_norm(scale, size):
    x = (scale * numbers(3, 25, size)).requires_grad_()
    weight_D = numbers(size, seed=1)
    plain = x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight_D
    out = rms_norm(x, weight_D, 1e-5)
    torch.testing.assert_close(out, plain)
    torch.testing.assert_close(slopes(out, [x]), slopes(plain, [x]), rtol=1e-5, atol=1e-5 / scale)


def test_rms_norm_by_hand():
    out = rms_norm(torch.tensor([[3.0, 4.0]]), torch.tensor([1.0, 2.0]), 0.0)
    assert out.tolist() == [pytest.approx([3 / 12.5**0.5, 8 / 12.5**0.5])]


@pytest.mark.parametrize("size", [6, 24])
@pytest.mark.parametrize("halves", [False, True], ids=["apart", "halves of one"])
@pytest.mark.usefixtures("way")
def test_swiglu(size, halves):
    gate, up = numbers(2, 20, 2 * size).chunk(2, dim=-1)
    if not halves:
        gate, up = gate.contiguous(), up.contiguous()
    gate, up = gate.detach().requires_grad_(), up.detach().requires_grad_()
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


@pytest.mark.usefixtures("way")
def test_swiglu_of_rows_that_do_not_follow_each_other():
    gate, up = (numbers(4, 6, 16, seed=seed)[:, 1:4].requires_grad_() for seed in (0, 1))
    plain = gate * torch.sigmoid(gate) * up
    torch.testing.assert_close(slopes(swiglu(gate, up), [gate, up]), slopes(plain, [gate, up]))


@pytest.mark.usefixtures("way")
def test_extreme_gates_have_finite_slopes():
    gate = torch.tensor([[1e4, -1e4, 3e38, -3e38, 90.0, -90.0, 0.0, 1.0]]).requires_grad_()
    (slope,) = torch.autograd.grad(swiglu(gate, torch.ones(1, 8)).sum(), gate)
    assert slope[0].tolist() == [1.0, 0.0, 1.0, 0.0, 1.0, pytest.approx(0.0, abs=1e-30), 0.5, pytest.approx(0.927671)]


@pytest.mark.parametrize("norm_of", [1, 3])
def test_bfloat16_keeps_its_type(norm_of):
    x = numbers(norm_of, 8).bfloat16().requires_grad_()
    out = rms_norm(x, torch.ones(8, dtype=torch.bfloat16), 1e-5)
    (slope,) = torch.autograd.grad(out.float().sum(), x)
    assert (out.dtype, slope.dtype) == (torch.bfloat16, torch.bfloat16)
    exact = rms_norm(x.detach().float(), torch.ones(8), 1e-5)
    torch.testing.assert_close(out.float(), exact, rtol=2e-2, atol=2e-2)
