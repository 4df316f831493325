"""Products with frozen weights: every kernel against the plain product, values and gradients; which is chosen."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from paring.maths import products
from paring.maths.products import PackedLinear, available, best_kernel, frozen_linear, product, use, using

LARGE = (2048, 256, 512)
"""Rows, inputs and outputs of a product that is worth a call of oneDNN."""


@pytest.fixture(params=["plain", "onednn", "mkl"], autouse=True)
def kernel(request):
    if not available(request.param):
        pytest.skip(f"this torch has no {request.param}")
    with using(request.param):
        yield request.param


def drawn(*shapes):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, generator=generator) for shape in shapes]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("outputs", [24, 3000])
def test_a_packed_product_is_the_plain_one_for_any_number_of_rows(outputs, bias):
    weight_OI, bias_O = drawn((outputs, 40), (outputs,))
    packed = PackedLinear(weight_OI, bias_O if bias else None)
    for rows in [*range(1, 40), 127, 128, 300, 513]:
        x_NI = torch.randn(rows, 40)
        expected = functional.linear(x_NI, weight_OI, bias_O if bias else None)
        torch.testing.assert_close(packed(x_NI), expected, rtol=1e-5, atol=1e-4)
    assert packed(torch.randn(3, 1, 40)).shape == (3, 1, outputs)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [LARGE, (3, 8, 5)])
def test_a_frozen_product_and_its_gradient_are_the_plain_ones(shape, bias):
    rows, inputs, outputs = shape
    x, weight_OI, bias_O, dy = drawn((2, rows, inputs), (outputs, inputs), (outputs,), (2, rows, outputs))
    x.requires_grad_()
    for made in (frozen_linear, functional.linear):
        y = made(x, weight_OI, bias_O if bias else None)
        (dx,) = torch.autograd.grad(y, x, dy)
        if made is frozen_linear:
            ours = y, dx
        else:
            torch.testing.assert_close(ours, (y, dx), rtol=1e-5, atol=1e-4)


def test_a_product_can_be_written_over(kernel):
    """As an adapter does with its update."""
    x, weight_OI = drawn((2, *LARGE[:2]), (LARGE[2], LARGE[1]))
    y = frozen_linear(x.requires_grad_(), weight_OI)
    assert not y._is_view()
    assert ("FrozenLinear" in y.grad_fn.name()) == (kernel == "onednn")


def test_a_product_takes_weights_of_any_strides():
    """The backward multiplies by transposed weights, gradients of adapters by transposed inputs."""
    x, weight, long = drawn((2048, 256), (256, 512), (2048, 64))
    torch.testing.assert_close(product(x, weight.T), x @ weight, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(product(long.T, x.T), long.T @ x, rtol=1e-5, atol=1e-3)


def test_weights_in_bf16_multiply_in_bf16_whatever_the_inputs_are():
    x, weight_OI, dy = drawn(LARGE[:2], (LARGE[2], LARGE[1]), (LARGE[0], LARGE[2]))
    weight_OI = weight_OI.bfloat16()
    expected = functional.linear(x.bfloat16(), weight_OI).float()
    y = frozen_linear(x.requires_grad_(), weight_OI)
    (dx,) = torch.autograd.grad(y, x, dy)
    assert torch.equal(y, expected) and y.dtype == dx.dtype == torch.float32
    assert torch.equal(dx, (dy.bfloat16() @ weight_OI).float())
    torch.testing.assert_close(PackedLinear(weight_OI, None)(x.detach()), expected, rtol=1e-2, atol=0.1)


def test_half_precision_and_other_devices_are_torch_s_own():
    x, weight_OI = (one.bfloat16() for one in drawn((LARGE[0], LARGE[1]), (LARGE[2], LARGE[1])))
    assert torch.equal(frozen_linear(x, weight_OI), functional.linear(x, weight_OI))
    assert product(torch.empty(*LARGE[:2], device="meta"), torch.empty(LARGE[2], LARGE[1], device="meta")).is_meta


@pytest.mark.parametrize(
    ("capability", "vendor", "expected"),
    [("AVX512", "GenuineIntel", "mkl"), ("AVX512", "AuthenticAMD", "onednn"), ("AVX2", "GenuineIntel", "onednn")],
)
def test_the_best_kernel_is_a_function_of_the_kind_of_cpu(monkeypatch, tmp_path: Path, capability, vendor, expected):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"vendor_id\t: {vendor}\n", encoding="utf-8")
    is_intel = products._is_intel.__wrapped__(cpuinfo)
    monkeypatch.setattr(products, "_capability", lambda: capability)
    monkeypatch.setattr(products, "_is_intel", lambda: is_intel)
    monkeypatch.setattr(products, "_has", lambda *_: True)
    monkeypatch.setattr(products, "_has_mkl", lambda: True)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert best_kernel.__wrapped__() == expected
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert best_kernel.__wrapped__() == ("mkl" if expected == "mkl" else "plain")


def test_mkl_is_not_used_where_what_it_packed_serves_no_other_number_of_rows(monkeypatch, kernel):
    if kernel != "mkl":
        pytest.skip("of MKL alone")
    assert products._has_mkl.__wrapped__()
    made = products._packed_by_mkl

    def for_32_rows_alone(weight_OI, bias_O):
        packed = made(weight_OI, bias_O)
        return lambda x: packed(x) + (len(x) != 32)

    monkeypatch.setattr(products, "_packed_by_mkl", for_32_rows_alone)
    assert not products._has_mkl.__wrapped__()


def test_a_kernel_that_torch_lacks_is_refused(monkeypatch):
    monkeypatch.setattr(products, "_has_mkl", lambda: False)
    with pytest.raises(ValueError, match=r'model.kernel = "mkl": this torch has no mkl; set "auto"'):
        use("mkl")
