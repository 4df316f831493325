"""Passes, packed or not, have the log-probs and gradients of transformers' eager forward over single sequences."""

import copy

import pytest
import torch

from paring.adapters.attach import parameters_by_name
from paring.policy.layout import Span
from paring.policy.model import Policy
from paring.policy.packing import Labelled, Shared, pack, pack_examples
from paring.policy.unpacked import Unpacked, rows_of, unpacked_tokens
from paring.rollout.local import check_decodes

CPU = torch.device("cpu")
SHARED = [
    Shared([5, 6, 7, 9, 11], [[1, 2, 3, 8, 12, 31], [4, 2], [7]]),
    Shared([9, 3, 17, 25, 14, 8, 41, 22], [[8, 8, 1, 15, 16, 9, 33, 21, 7, 4], [1] * 9]),
    Shared([40, 2], [[9]]),
]
TEMPERATURE = 0.8


def own_log_probs(model, sequence, first):
    """Log-probs of the tokens from place `first`, in one sequence without padding; the last token is no input."""
    logit_NV = model(input_ids=torch.tensor([sequence[:-1]]), use_cache=False).logits[0].float() / TEMPERATURE
    token_M = torch.tensor(sequence[first:])
    return torch.log_softmax(logit_NV[first - 1 :], -1).gather(-1, token_M[:, None])[:, 0]


def of_all(model):
    """The same of all completions of SHARED."""
    sequences = [([*one.prompt, *own], len(one.prompt)) for one in SHARED for own in one.completions]
    return torch.cat([own_log_probs(model(), sequence, first) for sequence, first in sequences])


def gradient(log_probs_M, adapters):
    weight_M = torch.randn(len(log_probs_M), generator=torch.Generator().manual_seed(3))
    parts = torch.autograd.grad((log_probs_M * weight_M).sum(), list(parameters_by_name(adapters).values()))
    return torch.cat([part.flatten() for part in parts])


def check_against_single_sequences(policy, plain, plain_adapters):
    batch = pack(SHARED, CPU)
    found_M = policy.log_probs(batch, temperature=TEMPERATURE)[batch.mask_BT.bool()]
    expected_M = of_all(lambda: plain)
    torch.testing.assert_close(found_M, expected_M, rtol=0, atol=1e-4)
    expected = gradient(expected_M, plain_adapters)
    assert (gradient(found_M, policy.adapters) - expected).norm() < 1e-3 * expected.norm()


def eager(model):
    plain = copy.deepcopy(model)
    if plain.config._attn_implementation == "sdpa":
        plain.set_attn_implementation("eager")
    return plain


def test_log_probs_and_gradients_are_those_of_single_sequences(unpacked_model, tokenizer, with_adapters):
    model, targets = unpacked_model
    plain = eager(model)
    policy = Policy(model, tokenizer, with_adapters(model, targets=targets))
    assert isinstance(policy.hidden, Unpacked)
    check_against_single_sequences(policy, plain, with_adapters(plain, targets=targets))


LATENT = ("q_a_proj", "kv_b_proj", "o_proj")
PACKED = {
    "DeepseekV3": ({}, LATENT),
    "MiniCPM3": ({"dim_model_base": 16}, LATENT),
    "Granite": ({"logits_scaling": 8.0}, "all-linear"),
    "Cohere": ({}, "all-linear"),
    "Gemma3Text": ({"final_logit_softcapping": 3.0}, "all-linear"),
    "Gemma2": ({"attn_logit_softcapping": 0.5, "sliding_window": 12}, "all-linear"),
    "GptOss": ({"sliding_window": 12}, ("q_proj", "v_proj", "o_proj")),
}


@pytest.mark.parametrize("family", PACKED)
def test_so_are_those_of_packed_passes(any_model, tokenizer, with_adapters, family):
    """With values of another size than keys, scaled and capped heads, capped scores and sinks: in training, and while
    decoding."""
    own, targets = PACKED[family]
    model = any_model(family, **own)
    plain = eager(model)
    policy = Policy(model, tokenizer, with_adapters(model, targets=targets))
    assert check_decodes(policy) is policy and policy.unpacked is None
    check_against_single_sequences(policy, plain, with_adapters(plain, targets=targets))


def test_examples_do_not_see_each_other(any_model, tokenizer):
    policy = Policy(any_model("Mamba"), tokenizer, {})
    tokens = [[4, 5, 6, 7, 8, 9, 1], [3, 1, 4, 1, 5], [9] * 12]
    batch = pack_examples([Labelled(one, [False] + [True] * (len(one) - 1)) for one in tokens], CPU)
    found_M = policy.log_probs(batch, temperature=TEMPERATURE)[batch.mask_BT.bool()]
    expected_M = torch.cat([own_log_probs(policy.model, one, 1) for one in tokens])
    torch.testing.assert_close(found_M, expected_M, rtol=0, atol=1e-4)


def test_a_prompt_has_no_row_of_its_own_where_a_completion_takes_it_in():
    spans = [Span(0, 3), Span(3, 2, 0, 3), Span(5, 0, 0, 3), Span(5, 2), Span(7, 0, 5, 2)]
    assert rows_of(spans) == [[0, 1, 2, 3, 4], [5, 6]]


def test_the_tokens_that_are_held_are_those_that_the_model_gets(any_model, tokenizer, monkeypatch):
    policy = Policy(any_model("Bloom"), tokenizer, {})
    batch, held = pack(SHARED, CPU), []
    policy.model.register_forward_pre_hook(
        lambda module, args, given: held.append(given["input_ids"].numel()), with_kwargs=True
    )
    policy.log_probs(batch, temperature=1.0)
    # Rows of 17, 16 (padded to 17), 10, 6 and 2: the last prompt alone.
    assert sum(held) == unpacked_tokens(SHARED) == policy.tokens_held(SHARED) == 2 * 17 + 10 + 6 + 2
    assert unpacked_tokens([Shared([1, 2, 3], ()), Shared([1, 2, 3, 4], ())]) == 8


ROTATIONS = {
    "Llama": {"rope_type": "dynamic", "factor": 4.0},
    "Phi3": {"rope_type": "longrope", "short_factor": [1.0, 1.5, 2.0, 2.5], "long_factor": [3.0] * 4},
}


@pytest.mark.parametrize("family", ROTATIONS)
def test_the_context_ends_where_rotation_would_change(any_model, tokenizer, family):
    """Up to there passes are packed and right; a longer sequence is refused."""
    longest, given = 17, ROTATIONS[family] | {"rope_theta": 1e4}
    limits = {"max_position_embeddings": longest if family == "Llama" else 256}
    limits |= {"original_max_position_embeddings": longest}
    model = any_model(family, rope_parameters=given, **limits)
    plain, policy = copy.deepcopy(model), Policy(model, tokenizer, {})
    assert policy.context == longest and policy.unpacked is None
    found_M = policy.log_probs(pack(SHARED, CPU), temperature=TEMPERATURE)[pack(SHARED, CPU).mask_BT.bool()]
    torch.testing.assert_close(found_M, of_all(lambda: plain), rtol=0, atol=1e-4)
    longer = pack([Shared([5] * 10, [[7] * 9])], CPU)
    with pytest.raises(ValueError, match="a sequence of 18 tokens exceeds the 17"):
        policy.log_probs(longer, temperature=1.0)
