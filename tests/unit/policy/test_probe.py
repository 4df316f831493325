"""The probe that admits a model: what would give wrong numbers is refused, with the reason, before any work."""

import pytest
import torch
import transformers

from paring.policy.model import Policy
from paring.policy.packing import Shared, pack
from paring.policy.probe import WINDOW, narrowed
from paring.rollout.local import check_decodes

SHAPE = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)
SHAPE |= dict(vocab_size=64, max_position_embeddings=256, eos_token_id=63, pad_token_id=0, bos_token_id=None)
SLIDING = dict(sliding_window=12, layer_types=["sliding_attention", "full_attention"])
MOE = dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=24, shared_expert_intermediate_size=24)
LATENT = dict(kv_lora_rank=8, q_lora_rank=8, qk_nope_head_dim=8, qk_rope_head_dim=4, v_head_dim=8, n_group=1)
LATENT |= dict(n_routed_experts=4, num_experts_per_tok=2, moe_intermediate_size=16, topk_group=1)


@pytest.fixture
def model():
    """A tiny model of a family, whose weights make every fault show."""

    def make(family: str, **own):
        config = getattr(transformers, f"{family}Config")(**SHAPE | own)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            made = getattr(transformers, f"{family.removesuffix('Text')}ForCausalLM")(config)
            for parameter in made.parameters():
                parameter.data.normal_(1 if parameter.ndim == 1 else 0, 0.3)
        return made.eval().requires_grad_(False)

    return make


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
def test_windows_are_honoured_beyond_their_end(model, tokenizer, family):
    """40 tokens under windows of 12: packed logits are transformers' own."""
    made = model(family, **WINDOWED[family])
    tokens = [7 * place % 63 for place in range(40)]
    own_NV = made(input_ids=torch.tensor([tokens]), use_cache=False).logits[0]
    policy = Policy(made, tokenizer, {})
    check_decodes(policy)
    batch = pack([Shared(tokens[:30], [[*tokens[30:], 0]])], policy.device)
    hidden_1ND = policy.hidden(batch.token_N[None], batch.position_N[None], batch.layout)
    torch.testing.assert_close(policy.logits(hidden_1ND[0]), own_NV, rtol=0, atol=1e-4)


@pytest.mark.parametrize("family, own", [("Qwen2Moe", MOE | {"use_sliding_window": True}), ("Phimoe", {})])
def test_a_window_that_only_the_mask_knows_is_refused(model, tokenizer, family, own):
    """These models pass no window to their attention: without the second probe packed passes would see too far."""
    sliding = {"layer_types": ["sliding_attention"] * 2} if family == "Qwen2Moe" else {"num_local_experts": 4}
    with pytest.raises(ValueError, match=f"{family}ForCausalLM .* attends as packed batches do not"):
        Policy(model(family, sliding_window=12, **own, **sliding), tokenizer, {})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "family, own, reason",
    [
        ("DiffLlama", {}, "another log-prob while it decodes than in a whole pass"),
        ("DeepseekV2", LATENT, "does not run in packed batches"),
    ],
)
def test_what_decodes_otherwise_is_refused(model, tokenizer, family, own, reason, dtype):
    with pytest.raises(ValueError, match=reason):
        check_decodes(Policy(model(family, **own).to(dtype), tokenizer, {}))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "family, own, setting",
    [
        ("Gemma2", {"head_dim": 8}, "final_logit_softcapping = 30.0"),
        ("Gemma3Text", SLIDING | {"head_dim": 8, "final_logit_softcapping": 30.0}, "final_logit_softcapping = 30.0"),
        ("Granite", {"logits_scaling": 8.0}, "logits_scaling = 8.0"),
        ("Cohere", {}, "logit_scale = 0.0625"),
    ],
)
def test_a_scale_or_cap_is_read_from_the_configuration(model, tokenizer, family, own, setting, dtype):
    with pytest.raises(ValueError, match=setting):
        Policy(model(family, **own).to(dtype), tokenizer, {})


@pytest.mark.parametrize("family", ["StableLm", "Nemotron"])
def test_attention_that_takes_no_layout_is_refused_in_words(model, tokenizer, family):
    with pytest.raises(ValueError, match="does not pass on what it is called with"):
        Policy(model(family), tokenizer, {})


def test_windows_are_as_they_were_after_a_probe(model, tokenizer):
    made = model("Mistral", sliding_window=12)
    with narrowed(made) as has_windows:
        assert has_windows and made.config.sliding_window == WINDOW
    assert made.config.sliding_window == 12
    Policy(made, tokenizer, {})
    assert made.config.sliding_window == 12


def test_a_model_may_have_a_second_policy(model, tokenizer):
    made = model("Llama")
    for _ in range(2):
        check_decodes(Policy(made, tokenizer, {}))
