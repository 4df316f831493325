"""The written-out decoder against transformers' own forward; what is computed once, and what is computed again."""

import math
from dataclasses import replace

import pytest
import torch

from paring.adapters.attach import attach, parameters_by_name
from paring.adapters.kinds import Lora
from paring.policy import decoder as decoder_module
from paring.policy.decoder import is_written_out, through
from paring.policy.model import Policy, by_transformers, forward
from paring.policy.packing import Shared, pack

GROUPS = [Shared([5, 6, 7, 8, 9, 10, 11], [[1, 2, 3], [4], [7] * 20]), Shared([9], [[8, 8], [3, 1, 4, 1, 5]])]
BATCH = pack(GROUPS, torch.device("cpu"))
PLACE = (BATCH.token_N[None], BATCH.position_N[None], BATCH.layout)


def gradient(policy, logp_BT):
    weight_BT = torch.randn(logp_BT.shape, generator=torch.Generator().manual_seed(4))
    parameters = list(parameters_by_name(policy.adapters).values())
    slopes = torch.autograd.grad((logp_BT * weight_BT).sum(), parameters, allow_unused=True)
    return torch.cat([slope.flatten() for slope in slopes])


def kept_bytes(compute):
    """What a forward pass keeps for its backward, each storage counted once."""
    storages = {}

    def pack_hook(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack_hook, lambda tensor: tensor):
        held = compute()
    assert held.requires_grad
    return sum(storages.values())


def test_it_computes_what_transformers_does(family, make_policy):
    policy = make_policy(family)
    assert is_written_out(policy.model)
    found, expected = policy.hidden(*PLACE), by_transformers(policy.model, *PLACE)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    with policy.reference():
        torch.testing.assert_close(policy.hidden(*PLACE), by_transformers(policy.model, *PLACE), rtol=1e-4, atol=1e-4)


def test_another_architecture_goesthrough_transformers(tiny, monkeypatch, make_policy):
    monkeypatch.setattr(decoder_module, "WRITTEN_OUT", frozenset())
    policy = make_policy()
    assert policy.hidden.func is by_transformers
    assert policy.trunk(BATCH) is None
    with pytest.raises(ValueError, match=r"optimiser\.activations_gb .* LlamaForCausalLM: set it to 0"):
        forward(policy.model, activation_bytes=1e9)


def test_another_activation_is_not_written_out(tiny):
    assert not is_written_out(tiny(hidden_act="gelu"))


@pytest.fixture
def upper(tiny, tokenizer):
    """A policy of four layers of which only the last two have adapters, those of attention alone in the lower."""
    model = tiny(num_hidden_layers=4)
    targets = ("layers.2.self_attn.q_proj", "layers.2.self_attn.v_proj", "layers.3.mlp.down_proj")
    adapters = attach(model, Lora(rank=3, targets=targets), seed=0)
    generator = torch.Generator().manual_seed(2)
    for adapter in adapters.values():
        adapter.B_OR.data.normal_(0, 0.1, generator=generator)
    return Policy(model, tokenizer, adapters)


def test_what_lies_below_the_first_adapter_is_shared(upper):
    trunk = upper.trunk(BATCH)
    assert not trunk.requires_grad
    whole_BT = upper.log_probs(BATCH, temperature=1.0)
    shared_BT = upper.log_probs(BATCH, temperature=1.0, trunk=trunk)
    assert torch.equal(shared_BT, whole_BT)
    assert torch.equal(gradient(upper, shared_BT), gradient(upper, whole_BT))
    with upper.reference():
        assert torch.equal(upper.trunk(BATCH), trunk)
        reference_BT = upper.log_probs(BATCH, temperature=1.0)
        assert torch.equal(upper.log_probs(BATCH, temperature=1.0, trunk=trunk), reference_BT)
    assert (reference_BT - whole_BT).abs().max() > 0.01


def test_the_layers_below_are_not_run_again(upper, monkeypatch):
    trunk, run = upper.trunk(BATCH), []
    noted = replace(upper.hidden, run=lambda layer, number, *rest: run.append(number) or through(layer, number, *rest))
    monkeypatch.setitem(vars(upper), "hidden", noted)
    upper.log_probs(BATCH, temperature=1.0, trunk=trunk)
    assert run == [2, 3]


def test_nothing_is_shared_where_the_first_layer_has_an_adapter(make_policy):
    assert make_policy().trunk(BATCH) is None


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("share", [0.0, 0.4, 0.99])
def test_activation_checkpointing_changes_memory_alone(tiny, tokenizer, with_adapters, share, dropout):
    def made(activation_bytes):
        model = tiny(num_hidden_layers=6)
        return Policy(model, tokenizer, with_adapters(model, dropout=dropout), activation_bytes)

    def log_probs(policy):
        torch.manual_seed(0)
        return policy.log_probs(BATCH, temperature=1.0)

    def gradient_of(policy):
        """What is computed again must be so with the same dropout, as it is where `improve` calls backward."""
        with policy.training():
            return gradient(policy, log_probs(policy))

    free = made(math.inf)
    everything = 6 * free.hidden.bytes_per_token * len(BATCH.token_N)
    bounded = made(share * everything + 1)
    torch.testing.assert_close(log_probs(bounded), log_probs(free))
    torch.testing.assert_close(gradient_of(bounded), gradient_of(free), rtol=1e-5, atol=1e-6)
    kept, kept_free = (kept_bytes(lambda policy=policy: log_probs(policy)) for policy in (bounded, free))
    layers_kept = int(share * 6)
    # An input of D numbers is kept of a layer that is computed again.
    assert kept < kept_free * (layers_kept + 1.5) / 6
    assert bounded.log_probs(BATCH, temperature=1.0).requires_grad


def test_the_estimate_of_what_is_kept_is_near_the_truth(tiny, tokenizer, with_adapters):
    """Long completions of nearly one length, as the estimate assumes; weights and head are kept by everybody."""
    model = tiny(num_hidden_layers=8, hidden_size=64, intermediate_size=160, max_position_embeddings=512)
    policy = Policy(model, tokenizer, with_adapters(model))
    batch = pack([Shared([3] * 60, [[5] * 80] * 6)], policy.device)
    kept = kept_bytes(lambda: policy.log_probs(batch, temperature=1.0))
    weights = sum(parameter.untyped_storage().nbytes() for parameter in model.parameters())
    expected = 8 * policy.hidden.bytes_per_token * len(batch.token_N)
    assert 0.7 < (kept - weights) / expected < 1.3
