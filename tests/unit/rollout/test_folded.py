"""The sampler's folded, packed weights against the policy's modules, by every kernel."""

import pytest
import torch
from torch import nn

from paring.adapters.attach import attach
from paring.adapters.kinds import L1ra
from paring.maths.products import available, using
from paring.policy.model import Policy
from paring.policy.packing import Shared, pack
from paring.rollout.packed_policy import sampler

CPU = torch.device("cpu")
BATCH = pack([Shared([5, 6, 7, 8, 9, 10, 11], [[1, 2, 3], [4], [7] * 20]), Shared([9], [[8, 8]])], CPU)
PLACE = (BATCH.token_N[None], BATCH.position_N[None], BATCH.layout)


@pytest.fixture(params=["plain", "onednn", "mkl"], autouse=True)
def forced(request):
    """The folded layers by each kernel that this torch has."""
    if not available(request.param):
        pytest.skip(f"this torch has no {request.param}")
    with using(request.param):
        yield


def test_folded_hidden_states_and_logits_are_the_policy_s(family, make_policy):
    policy = make_policy(family)
    made = sampler(policy)
    assert made.hidden is not policy.hidden
    hidden, expected = made.hidden(*PLACE), policy.hidden(*PLACE).detach()
    torch.testing.assert_close(hidden, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(made.logits(hidden[0]), policy.logits(expected[0]), rtol=1e-4, atol=1e-3)


def test_the_reference_is_folded_without_adapters(make_policy):
    policy = make_policy()
    with policy.reference():
        made, expected = sampler(policy), policy.hidden(*PLACE)
    torch.testing.assert_close(made.hidden(*PLACE), expected, rtol=1e-4, atol=1e-4)
    assert (sampler(policy).hidden(*PLACE) - expected).abs().max() > 0.01


def test_gates_are_folded_too_and_a_module_without_components_is_its_base(tiny, tokenizer):
    model = tiny()
    adapters = attach(model, L1ra(rank=3, alpha=3.0), seed=1)
    generator = torch.Generator().manual_seed(2)
    for number, adapter in enumerate(adapters.values()):
        adapter.B_OR.data.normal_(0, 0.1, generator=generator)
        adapter.c_R.data.uniform_(0, 1, generator=generator)
        adapter.resize(range(number % 4), adapter.A_RI.new_zeros(0, adapter.in_features))
    policy = Policy(model, tokenizer, adapters)
    torch.testing.assert_close(sampler(policy).hidden(*PLACE), policy.hidden(*PLACE).detach(), rtol=1e-4, atol=1e-4)


def test_folding_leaves_the_weights_alone(make_policy):
    policy = make_policy()
    before = {name: value.clone() for name, value in policy.model.state_dict().items()}
    sampler(policy).hidden(*PLACE)
    for name, value in policy.model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_what_cannot_be_folded_is_sampled_as_it_stands(make_policy):
    class Quantised(nn.Linear):
        """Stands for the layers of bitsandbytes, which derive from nn.Linear and hold packed numbers."""

    policy = make_policy()
    policy.model.model.layers[0].mlp.down_proj.base.__class__ = Quantised
    made = sampler(policy)
    assert (made.hidden, made.logits) == (policy.hidden, policy.logits)


def in_bf16(policy):
    """The same policy on a base in bf16; adapters stay in fp32."""
    policy.model.to(torch.bfloat16)
    for adapter in policy.adapters.values():
        adapter.float()
        adapter.base.to(torch.bfloat16)
    return Policy(policy.model, policy.tokenizer, policy.adapters)


def test_weights_in_bf16_are_packed_too(family, make_policy):
    """Hidden states and logits stay in fp32."""
    policy = in_bf16(make_policy(family))
    made = sampler(policy)
    hidden, expected = made.hidden(*PLACE), policy.hidden(*PLACE).detach()
    assert made.hidden is not policy.hidden and hidden.dtype == expected.dtype == torch.float32
    torch.testing.assert_close(hidden, expected, rtol=0, atol=0.05 * float(expected.abs().max()))
    assert policy.logits(expected[0]).dtype == torch.float32 and policy.head.weight_VD.dtype == torch.float32


def test_an_update_below_the_rounding_of_a_weight_in_bf16_is_sampled_with(make_policy):
    """Each number of the update is 1/1000 of the weight's, so that a folded weight in bf16 would be the base's."""
    policy = make_policy()
    policy = in_bf16(policy)
    adapter = policy.adapters["model.layers.0.mlp.down_proj"]
    with torch.no_grad():
        for other in policy.adapters.values():
            other.B_OR.zero_()
        weight_OI = adapter.base.weight.float()
        left_OR, values_R, right_RI = torch.linalg.svd(weight_OI, full_matrices=False)
        adapter.resize(range(0), adapter.A_RI.new_zeros(0, adapter.in_features))
        adapter.resize(range(0), right_RI)
        adapter.B_OR.copy_(left_OR * values_R / (1000 * adapter.scale))
        assert torch.equal((weight_OI + adapter.delta_OI()).bfloat16(), adapter.base.weight)
    made, narrow = sampler(policy).hidden(*PLACE), policy.hidden(*PLACE).detach()
    with policy.reference():
        base = sampler(policy).hidden(*PLACE)
    assert not torch.equal(made, base)
    assert float((made - base).norm()) < 0.05 * float(narrow.norm())
