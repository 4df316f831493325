"""LowRankLinear: its formula, its gradients, its base, its merge."""

from math import sqrt

import pytest
import torch
from torch import nn
from torch.nn import functional

from paring.adapters.linear import LinearLike
from paring.adapters.lowrank import LowRankLinear, plain_scale, rank_stabilised_scale


def low_rank(base: nn.Module, *, rank: int = 3, scale: float = 2.0, seed: int = 0, **more) -> LowRankLinear:
    """An adapter whose B is not zero."""
    generator = torch.Generator().manual_seed(seed)
    adapter = LowRankLinear(base, rank=rank, scale=scale, generator=generator, **more)
    adapter.B_OR.data.normal_(generator=generator)
    return adapter


def dense(inputs: int, outputs: int, *, bias: bool = True, dtype: torch.dtype = torch.float32) -> nn.Linear:
    base = nn.Linear(inputs, outputs, bias=bias)
    generator = torch.Generator().manual_seed(7)
    for parameter in base.parameters():
        parameter.data.normal_(generator=generator)
    return base.to(dtype)


def noise(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(11)).to(dtype)


def test_a_two_by_two_example_by_hand():
    base = nn.Linear(2, 2, bias=False)
    base.weight.data = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    adapter = low_rank(base, rank=1, scale=0.5)
    adapter.A_RI.data = torch.tensor([[1.0, -1.0]])
    adapter.B_OR.data = torch.tensor([[2.0], [4.0]])
    # W x = [5, 11]; A x = 1 - 2 = -1; s B A x = 0.5 * [-2, -4] = [-1, -2].
    assert adapter(torch.tensor([1.0, 2.0])).tolist() == [4.0, 9.0]
    # s B A = 0.5 * [[2, -2], [4, -4]].
    assert adapter.delta_OI().tolist() == [[1.0, -1.0], [2.0, -2.0]]
    assert adapter.merge().weight.tolist() == [[2.0, 1.0], [5.0, 2.0]]


def test_forward_is_the_formula():
    base, x = dense(5, 4), noise(2, 6, 5)
    adapter = low_rank(base, rank=3, scale=1.7)
    weight_OI = base.weight + 1.7 * adapter.B_OR @ adapter.A_RI
    torch.testing.assert_close(adapter(x), x @ weight_OI.T + base.bias)


def test_a_new_adapter_leaves_the_function_as_it_was():
    base, x = dense(5, 4), noise(6, 5)
    adapter = LowRankLinear(base, rank=3, scale=2.0, generator=torch.Generator().manual_seed(0))
    assert torch.equal(adapter(x), base(x))


def test_first_values_are_uniform_within_one_over_root_in_and_come_from_the_generator():
    def first(seed: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return LowRankLinear(nn.Linear(400, 2), rank=50, scale=1.0, generator=generator, dtype=dtype).A_RI

    bound = 1 / sqrt(400)
    assert first(0).abs().max() <= bound
    # 20,000 uniform values: mean 0, standard deviation bound / sqrt(3), each within 4 standard errors.
    assert abs(first(0).mean()) < 4 * bound / sqrt(3) / sqrt(20_000)
    assert first(0).std().item() == pytest.approx(bound / sqrt(3), rel=0.02)
    assert torch.equal(first(0), first(0)) and not torch.equal(first(0), first(1))
    assert torch.equal(first(0, torch.bfloat16), first(0).to(torch.bfloat16))


def test_gradients_are_those_of_the_explicit_formula_and_the_base_is_frozen():
    base, x = dense(5, 4, dtype=torch.float64), noise(6, 5, dtype=torch.float64).requires_grad_()
    adapter, target = low_rank(base, rank=2, scale=1.3, dtype=torch.float64), noise(6, 4, dtype=torch.float64)
    got = torch.autograd.grad((adapter(x) - target).pow(2).sum(), [x, adapter.A_RI, adapter.B_OR])

    A_RI, B_OR = adapter.A_RI.detach().requires_grad_(), adapter.B_OR.detach().requires_grad_()
    y = x @ (base.weight + 1.3 * B_OR @ A_RI).T + base.bias
    torch.testing.assert_close(got, torch.autograd.grad((y - target).pow(2).sum(), [x, A_RI, B_OR]))
    assert [name for name, parameter in adapter.named_parameters() if parameter.requires_grad] == ["A_RI", "B_OR"]


def test_gradients_agree_with_finite_differences():
    adapter = low_rank(dense(3, 4, dtype=torch.float64), rank=2, dtype=torch.float64)
    x = noise(5, 3, dtype=torch.float64)

    def output(A_RI: torch.Tensor, B_OR: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(adapter, {"A_RI": A_RI, "B_OR": B_OR}, x)

    assert torch.autograd.gradcheck(output, (adapter.A_RI, adapter.B_OR))


def test_nothing_large_is_kept_for_the_backward_but_the_input():
    adapter, x_NI = low_rank(dense(40, 30), rank=2), noise(50, 40).requires_grad_()
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        adapter(x_NI)
    known = (x_NI, adapter.A_RI, adapter.B_OR, adapter.base.weight)
    own = [size for place, size in kept.items() if place not in {one.untyped_storage().data_ptr() for one in known}]
    assert own == [50 * 2 * 4]  # u = A x in fp32


def test_disabled_is_the_base_bit_for_bit_and_computes_no_branch():
    base, x = dense(5, 4), noise(6, 5)
    adapter = low_rank(base)
    adapter.A_RI.data.fill_(float("nan"))  # would show in the result
    adapter.enabled = False
    assert torch.equal(adapter(x), base(x))
    adapter.enabled = True
    assert adapter(x).isnan().all()


def test_dropout_acts_on_the_input_of_the_branch_while_training_alone():
    base, x = dense(5, 4), noise(6, 5)
    adapter, certain = low_rank(base, dropout=0.5), low_rank(base)
    assert torch.equal(adapter.eval()(x), certain(x))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        got = adapter.train()(x)
        torch.manual_seed(0)
        dropped = functional.dropout(x, 0.5, training=True)
    assert (dropped == 0).any()
    torch.testing.assert_close(got, base(x) + dropped @ certain.delta_OI().T)


def test_a_base_in_evaluation_gives_an_adapter_in_evaluation():
    assert low_rank(dense(5, 4).eval()).training is False
    assert low_rank(dense(5, 4).train()).training is True


def test_the_update_of_a_16_bit_base_is_computed_in_fp32_and_cast_to_its_output():
    base, x = dense(64, 8, dtype=torch.bfloat16), noise(6, 64, dtype=torch.bfloat16)
    adapter = low_rank(base, scale=0.1)
    assert adapter.A_RI.dtype == adapter.B_OR.dtype == torch.float32
    update = (x.float() @ adapter.A_RI.T * 0.1 @ adapter.B_OR.T).to(torch.bfloat16)
    assert torch.equal(adapter(x), base(x) + update)


def test_merge_is_forward():
    base, x = dense(5, 4), noise(6, 5)
    adapter = low_rank(base)
    before = adapter(x)
    merged = adapter.merge()
    assert merged is base and type(merged) is nn.Linear
    torch.testing.assert_close(merged(x), before)


def test_merge_into_16_bits_rounds_once():
    base = dense(5, 4, dtype=torch.bfloat16)
    adapter = low_rank(base)
    weight_OI = (base.weight.double() + 2.0 * (adapter.B_OR.double() @ adapter.A_RI.double())).to(torch.bfloat16)
    assert torch.equal(adapter.merge().weight, weight_OI)


def test_forward_writes_nothing():
    adapter, x = low_rank(dense(5, 4), dropout=0.5).train(), noise(6, 5)
    before = {name: value.clone() for name, value in adapter.state_dict().items()}
    kept = x.clone()
    adapter(x)
    assert torch.equal(x, kept)
    assert all(torch.equal(value, before[name]) for name, value in adapter.state_dict().items())


@pytest.mark.parametrize("kind", ["4-bit", "8-bit"])
def test_a_quantised_base_is_adapted_but_not_merged(kind):
    bitsandbytes = pytest.importorskip("bitsandbytes")
    original = dense(64, 32, bias=False)
    if kind == "4-bit":
        base = bitsandbytes.nn.Linear4bit(64, 32, bias=False, compute_dtype=torch.float32, quant_type="nf4")
    else:
        base = bitsandbytes.nn.Linear8bitLt(64, 32, bias=False, has_fp16_weights=False)
    base.load_state_dict(original.state_dict())
    base = base.to("cpu")  # quantises
    assert base.weight.dtype in (torch.uint8, torch.int8)

    x = noise(6, 64).requires_grad_()
    adapter = low_rank(base, scale=0.5)
    assert isinstance(base, LinearLike) and (adapter.in_features, adapter.out_features) == (64, 32)
    torch.testing.assert_close(adapter(x), base(x) + x @ adapter.delta_OI().T)
    got = torch.autograd.grad(adapter(x).sum(), [x, adapter.B_OR])
    expected = torch.autograd.grad(base(x).sum() + (x @ adapter.delta_OI().T).sum(), [x, adapter.B_OR])
    torch.testing.assert_close(got, expected)
    with pytest.raises(ValueError, match=r"dense nn.Linear only.* is a Linear.*without quantisation"):
        adapter.merge()


def test_a_weight_that_is_no_plain_parameter_is_not_merged_into():
    class Packed(nn.Parameter):
        """Stands for a quantised weight inside a plain nn.Linear, as torchao has it."""

    base = dense(5, 4)
    base.weight = Packed(base.weight.data)
    with pytest.raises(ValueError, match="quantised or otherwise"):
        low_rank(base).merge()


def test_scales():
    assert plain_scale(16.0, 8) == 2.0
    assert rank_stabilised_scale(16.0, 4) == 8.0


def gated(base: nn.Module, *, rank: int = 3, **more) -> LowRankLinear:
    """An adapter with gates between 0 and 1, one of them 0."""
    adapter = low_rank(base, rank=rank, gated=True, **more)
    adapter.c_R.data = torch.linspace(0, 0.8, rank).to(adapter.c_R)
    return adapter


def test_gates_by_hand():
    base = nn.Linear(2, 1, bias=False)
    base.weight.data = torch.tensor([[1.0, 2.0]])
    adapter = low_rank(base, rank=2, scale=0.5, gated=True)
    adapter.A_RI.data = torch.tensor([[1.0, -1.0], [2.0, 0.0]])
    adapter.B_OR.data = torch.tensor([[2.0, 4.0]])
    adapter.c_R.data = torch.tensor([1.0, 0.25])
    # W x = 5; A x = [-1, 2]; c * A x = [-1, 0.5]; s B (c A x) = 0.5 (-2 + 2) = 0.
    assert adapter(torch.tensor([1.0, 2.0])).tolist() == [5.0]
    # s B diag(c) A = 0.5 (2 [1, -1] + [2, 0]) = [2, -1].
    assert adapter.delta_OI().tolist() == [[2.0, -1.0]]
    assert adapter.delta_norm() == pytest.approx(sqrt(5))
    assert adapter.merge().weight.tolist() == [[3.0, 1.0]]


def test_gates_of_1_are_no_gates_bit_for_bit():
    x = noise(6, 5)
    plain, ones = low_rank(dense(5, 4)), low_rank(dense(5, 4), gated=True)
    assert torch.equal(plain(x), ones(x))


def test_gates_of_0_are_the_base():
    base, x = dense(5, 4), noise(6, 5)
    adapter = low_rank(base, gated=True)
    adapter.c_R.data.zero_()
    assert torch.equal(adapter(x), base(x))


def test_gradients_of_gated_adapters_agree_with_finite_differences():
    adapter = gated(dense(4, 3, dtype=torch.float64), rank=2, dtype=torch.float64)
    x = noise(5, 4, dtype=torch.float64).requires_grad_()

    def forward(x, A_RI, B_OR, c_R):
        return torch.func.functional_call(adapter, {"A_RI": A_RI, "B_OR": B_OR, "c_R": c_R}, (x,))

    leaves = [value.detach().clone().requires_grad_() for value in (adapter.A_RI, adapter.B_OR, adapter.c_R)]
    assert torch.autograd.gradcheck(forward, (x, *leaves))


def test_a_rank_of_0_is_the_base_and_learns_nothing():
    base, x = dense(5, 4), noise(6, 5).requires_grad_()
    adapter = gated(base)
    adapter.resize([], torch.empty(0, 5))
    assert adapter.rank == 0 and torch.equal(adapter(x), base(x))
    adapter(x).sum().backward()
    assert torch.equal(adapter.delta_OI(), torch.zeros(4, 5))


def test_resize_keeps_the_chosen_and_puts_new_ones_behind():
    adapter = gated(dense(5, 4))
    A_RI, B_OR, c_R = (value.detach().clone() for value in (adapter.A_RI, adapter.B_OR, adapter.c_R))
    adapter.resize([0, 2], noise(2, 5))
    assert torch.equal(adapter.A_RI, torch.cat([A_RI[[0, 2]], noise(2, 5)]))
    assert torch.equal(adapter.B_OR, torch.cat([B_OR[:, [0, 2]], torch.zeros(4, 2)], dim=1))
    assert torch.equal(adapter.c_R, torch.cat([c_R[[0, 2]], torch.ones(2)])) and adapter.scale == 2.0
