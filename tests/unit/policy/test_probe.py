"""The probe that finds how a model is run: packed where that is right, else unpacked, else refused, with the reason."""

import pytest
import torch
from torch import nn

from paring.policy.model import Policy
from paring.policy.packing import Shared, pack
from paring.policy.probe import WINDOW, narrowed
from paring.rollout.local import check_decodes

SLIDING = dict(sliding_window=12, layer_types=["sliding_attention", "full_attention"])
WINDOWED = {
    "Mistral": dict(sliding_window=12),
    "Phi3": dict(sliding_window=12),
    "Starcoder2": dict(sliding_window=12),
    "Qwen2": dict(use_sliding_window=True, max_window_layers=1, sliding_window=12),
    "Gemma3Text": SLIDING | {"head_dim": 8},
    "Olmo3": SLIDING,
    "Exaone4": SLIDING,
}


@pytest.mark.parametrize("family", WINDOWED)
def test_windows_are_honoured_beyond_their_end(any_model, tokenizer, family):
    """40 tokens under windows of 12: packed logits are transformers' own."""
    made = any_model(family, **WINDOWED[family])
    tokens = [7 * place % 63 for place in range(40)]
    own_NV = made(input_ids=torch.tensor([tokens]), use_cache=False).logits[0]
    policy = check_decodes(Policy(made, tokenizer, {}))
    assert policy.unpacked is None
    batch = pack([Shared(tokens[:30], [[*tokens[30:], 0]])], policy.device)
    hidden_1ND = policy.hidden(batch.token_N[None], batch.position_N[None], batch.layout)
    torch.testing.assert_close(policy.logits(hidden_1ND[0]), own_NV, rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "family, own, reason",
    [
        # These pass no window to their attention: without the second probe packed passes would see too far.
        ("Qwen2Moe", {"use_sliding_window": True} | SLIDING, "its logits differ from transformers' own (off by"),
        ("Phimoe", {"sliding_window": 12}, "its logits differ from transformers' own (off by"),
        ("DiffLlama", {}, "a layer attends several times, and packed decoding keeps its keys once"),
        ("StableLm", {}, "its attention does not get the layout of a packed row"),
        ("Bloom", {}, "its attention is its own and cannot be exchanged"),
        ("Mamba", {}, "it has layers of linear attention"),
        ("Llama4Text", {"attention_chunk_size": 64}, "it has layers of chunked attention"),
        ("DeepseekV32", {"index_topk": 64}, "it has layers of indexed attention"),
    ],
)
def test_what_cannot_be_packed_is_not(any_model, tokenizer, family, own, reason, dtype):
    policy = check_decodes(Policy(any_model(family, **own).to(dtype), tokenizer, {}))
    assert policy.unpacked is not None and policy.unpacked.startswith(reason)
    assert policy.model.config._attn_implementation in ("sdpa", "eager")
    again = check_decodes(Policy(policy.model, tokenizer, {}))
    assert again.unpacked == policy.unpacked


HEADS = {
    "Granite": ({"logits_scaling": 8.0}, 1 / 8, None),
    "Cohere": ({}, 0.0625, None),
    "Gemma3Text": ({"final_logit_softcapping": 3.0}, 1.0, 3.0),
    "NanoChat": ({}, 1.0, 15.0),
    "FalconH1": ({"lm_head_multiplier": 0.3}, 0.3, None),
    "MiniCPM3": ({"dim_model_base": 16}, 1.0, None),
    "Phi": ({}, 1.0, None),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", HEADS)
def test_scale_and_cap_of_the_head_are_found(any_model, tokenizer, family, dtype):
    """In bf16, too, where a cap of 3 hardly shows in the logits of a small model."""
    own, scale, cap = HEADS[family]
    made = any_model(family, **own).to(dtype)
    head = Policy(made, tokenizer, {}).head
    assert (head.scale, head.cap) == (pytest.approx(scale, rel=1e-6), cap)
    assert head.bias_V is made.get_output_embeddings().bias


@pytest.mark.parametrize("change", [lambda logits: logits.log_softmax(-1), lambda logits: logits + 1])
def test_logits_that_no_scale_and_cap_explain_are_refused(tiny, tokenizer, change):
    model = tiny()
    plain = model.forward

    def changed(*args, **given):
        out = plain(*args, **given)
        out.logits = change(out.logits)
        return out

    model.forward = changed
    with pytest.raises(ValueError, match="LlamaForCausalLM cannot be run: its logits are something else than its head"):
        Policy(model, tokenizer, {})


def test_a_head_that_is_no_linear_layer_is_refused(tiny, tokenizer):
    model = tiny()
    model.lm_head = nn.Sequential(model.lm_head, nn.Tanh())
    with pytest.raises(ValueError, match="LlamaForCausalLM cannot be run: its output embeddings are not one linear"):
        Policy(model, tokenizer, {})


def test_a_model_that_looks_ahead_is_refused(any_model, tokenizer):
    with pytest.raises(ValueError, match="BertLMHeadModel cannot be run: its logits differ from transformers' own"):
        Policy(any_model("Bert", kind="BertLMHeadModel", is_decoder=False), tokenizer, {})


def test_a_bound_of_activations_is_refused_where_transformers_runs_the_model(any_model, tokenizer):
    for family in ("Phi", "Mamba"):
        with pytest.raises(ValueError, match=r"optimiser\.activations_gb bounds .* and this is a \w+ForCausalLM"):
            Policy(any_model(family), tokenizer, {}, activation_bytes=1e9)


def test_windows_are_as_they_were_after_a_probe(any_model, tokenizer):
    made = any_model("Mistral", sliding_window=12)
    with narrowed(made) as has_windows:
        assert has_windows and made.config.sliding_window == WINDOW
    assert made.config.sliding_window == 12
    Policy(made, tokenizer, {})
    assert made.config.sliding_window == 12


def test_a_model_may_have_a_second_policy(any_model, tokenizer):
    made = any_model("Llama")
    for _ in range(2):
        assert check_decodes(Policy(made, tokenizer, {})).unpacked is None
