"""The compiled code against torch in fp64: norm and SwiGLU, and what it serves. Attention: ../rollout/test_cache.py."""

import shutil

import pytest
import torch
from torch.nn import functional

from paring.maths import compiled

built = pytest.mark.skipif(compiled.best_way() == "torch", reason="this installation had no C compiler")


@pytest.mark.skipif(not (shutil.which("gcc") or shutil.which("cc")), reason="no C compiler here")
def test_it_is_built_where_there_is_a_compiler():
    assert compiled.best_way() == "compiled", "python setup.py build_ext --inplace says why it is not"


def normed(x_LD, weight_D, added_LD=None):
    y_LD, sum_LD = torch.empty_like(x_LD), torch.empty_like(x_LD)
    work = compiled.Norm(x=x_LD.data_ptr(), weight=weight_D.data_ptr(), y=y_LD.data_ptr(), epsilon=1e-5)
    work.rows, work.size = x_LD.shape
    if added_LD is not None:
        work.added, work.sum = added_LD.data_ptr(), sum_LD.data_ptr()
    compiled.call(work)
    return y_LD, sum_LD


def swiglu(gate_up_LO, copy_LO=None):
    y_LI = gate_up_LO.new_empty(len(gate_up_LO), gate_up_LO.shape[1] // 2)
    gate, up = gate_up_LO.chunk(2, dim=-1)
    work = compiled.SwiGlu(gate=gate.data_ptr(), up=up.data_ptr(), y=y_LI.data_ptr())
    work.rows, work.size, work.stride = len(gate), gate.shape[1], gate_up_LO.shape[1]
    work.copy = None if copy_LO is None else copy_LO.data_ptr()
    compiled.call(work)
    return y_LI


@built
@pytest.mark.parametrize("shape", [(1, 8), (16, 24), (17, 576), (50, 40)])
def test_the_norm_of_a_sum(shape):
    x_LD, added_LD, weight_D = torch.randn(shape) * 3, torch.randn(shape), torch.randn(shape[1])
    for added in (None, added_LD):
        of_LD = (x_LD if added is None else x_LD + added).double()
        expected = of_LD / (of_LD.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight_D
        y_LD, sum_LD = normed(x_LD, weight_D, added)
        torch.testing.assert_close(y_LD, expected.float(), rtol=1e-6, atol=1e-6)
        if added is not None:
            assert torch.equal(sum_LD, x_LD + added)


@built
@pytest.mark.parametrize("shape", [(1, 16), (16, 48), (33, 3072)])
def test_swiglu_within_rounding_and_a_copy_of_its_input(shape):
    gate_up_LO = torch.randn(shape) * 10
    copy_LO = torch.empty(shape)
    gate, up = gate_up_LO.double().chunk(2, dim=-1)
    torch.testing.assert_close(swiglu(gate_up_LO, copy_LO), (functional.silu(gate) * up).float(), rtol=1e-6, atol=1e-30)
    assert torch.equal(copy_LO, gate_up_LO)


@built
def test_swiglu_at_the_ends_of_its_range():
    """silu(x) is x far above 0, and 0 far below; NaN stays."""
    gate_8 = torch.tensor([88.5, 1e4, 3e38, -200.0, -1e30, 0.0, -80.0, float("nan")])
    y_8 = swiglu(torch.cat([gate_8, torch.ones(8)])[None])[0]
    assert y_8[:3].tolist() == gate_8[:3].tolist()
    assert y_8[3:7].abs().max() < 1e-30
    assert y_8[7].isnan()


@built
def test_the_number_of_threads_and_the_other_rows_do_not_show():
    before, x_LD, weight_D = torch.get_num_threads(), torch.randn(100, 64), torch.randn(64)
    try:
        found = []
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            found.append((normed(x_LD, weight_D)[0], swiglu(x_LD)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one[0], found[0][0]) and torch.equal(one[1], found[0][1]) for one in found)
    assert torch.equal(normed(x_LD[37:40], weight_D)[0], found[0][0][37:40])


@built
def test_it_serves_fp32_without_a_gradient_in_sizes_of_eight():
    with compiled.using("compiled"), torch.no_grad():
        assert compiled.serves(torch.ones(3, 16), torch.ones(2, 24))
        assert not compiled.serves(torch.ones(3, 12))
        assert not compiled.serves(torch.ones(16, 16).bfloat16())
        assert not compiled.serves(torch.ones(16, 16).T[:8])
        with torch.enable_grad():
            assert not compiled.serves(torch.ones(3, 16))
    with compiled.using("torch"), torch.no_grad():
        assert not compiled.serves(torch.ones(3, 16))


@built
def test_a_library_of_other_source_is_not_taken(monkeypatch, tmp_path):
    other = tmp_path / "compiled.c"
    other.write_bytes(compiled.SOURCE.read_bytes() + b"\n")
    assert compiled._code.__wrapped__() is not None
    monkeypatch.setattr(compiled, "SOURCE", other)
    assert compiled._code.__wrapped__() is None


def test_without_it_auto_is_torch_and_asking_for_it_is_refused(monkeypatch):
    monkeypatch.setattr(compiled, "_code", lambda: None)
    assert compiled.best_way() == "torch"
    with pytest.raises(ValueError, match=r'model.fused = "compiled": .* without a C compiler.* set "auto"'):
        compiled.use("compiled")
