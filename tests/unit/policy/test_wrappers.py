"""Checkpoints that also see: their text part, with its own weights and nothing else, and its plan."""

import pytest
import torch
import transformers
from transformers import AutoConfig

from paring.adapters.attach import attach
from paring.adapters.kinds import Lora
from paring.planning.shapes import on_meta, targets_of
from paring.policy.loading import Model, load_base, read_config
from paring.policy.wrappers import place_in_wrapper

TEXT = dict(
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    vocab_size=64,
    max_position_embeddings=128,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=63,
)
SIGLIP = dict(
    model_type="siglip_vision_model",
    hidden_size=16,
    intermediate_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    image_size=28,
    patch_size=14,
)
QWEN = dict(depth=1, hidden_size=16, intermediate_size=16, num_heads=2, patch_size=14, out_hidden_size=32)
MROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}
FAMILIES = {
    "Gemma3": (TEXT, SIGLIP, "Gemma3ForCausalLM"),
    "Llava": (TEXT | {"model_type": "llama"}, SIGLIP, "LlamaForCausalLM"),
    "Mistral3": (TEXT | {"model_type": "mistral"}, SIGLIP, "MistralForCausalLM"),
    "Qwen2VL": (
        TEXT | {"rope_parameters": MROPE},
        dict(depth=1, embed_dim=16, hidden_size=32, num_heads=2, patch_size=14),
        "Qwen2VLTextForCausalLM",
    ),
    "Qwen2_5_VL": (
        TEXT | {"rope_parameters": MROPE},
        QWEN | {"fullatt_block_indexes": [0]},
        "Qwen2_5_VLTextForCausalLM",
    ),
    "Qwen3VL": (TEXT | {"rope_parameters": MROPE}, QWEN | {"deepstack_visual_indexes": [0]}, "Qwen3VLTextForCausalLM"),
    "Qwen3_5": (
        TEXT
        | {"layer_types": ["linear_attention", "full_attention"], "linear_num_key_heads": 2, "linear_key_head_dim": 8}
        | {"linear_num_value_heads": 4, "linear_value_head_dim": 8},
        QWEN,
        "Qwen3_5ForCausalLM",
    ),
}


@pytest.fixture(params=FAMILIES)
def wrapper(request, tokenizer, tmp_path):
    """A wrapper with random weights, saved in `tmp_path`, and the name of its text part."""
    text, vision, name = FAMILIES[request.param]
    config = getattr(transformers, f"{request.param}Config")(text_config=text, vision_config=vision)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(transformers, f"{request.param}ForConditionalGeneration")(config).eval()
        for parameter in model.parameters():
            parameter.data.normal_(1 if parameter.ndim == 1 else 0, 0.2)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return model, name


@torch.no_grad()
def test_the_text_part_is_a_causal_language_model(wrapper, tmp_path):
    whole, name = wrapper
    path = Model(path=str(tmp_path), device="cpu")
    model, _ = load_base(path)
    tokens = torch.tensor([[5, 9, 7, 30, 11, 40]])
    torch.testing.assert_close(model(input_ids=tokens).logits, whole(input_ids=tokens).logits, rtol=1e-5, atol=1e-5)
    hidden = model.base_model(input_ids=tokens).last_hidden_state
    torch.testing.assert_close(model.get_output_embeddings()(hidden), model(input_ids=tokens).logits)
    assert type(model).__name__ == name and not model.training
    # Every weight is one of the decoder's or the head's, and none of them is left out.
    places = place_in_wrapper(AutoConfig.from_pretrained(tmp_path))
    named = dict(whole.named_parameters())
    for own, value in model.named_parameters():
        part = next(part for part in places if own.startswith(f"{part}."))
        assert torch.equal(value, named.pop(places[part] + own.removeprefix(part)))
    assert not any(rest.startswith(tuple(f"{place}." for place in places.values())) for rest in named)

    planned = [one.path for one in targets_of(on_meta(read_config(path)), "all-linear")]
    assert list(attach(model, Lora(rank=2), seed=0)) == planned
    assert not any("vision" in path or "visual" in path for path in planned)
    assert model.num_parameters() < whole.num_parameters()


def test_a_weight_of_the_text_part_that_is_missing_is_named(tokenizer, tmp_path):
    text, vision, _ = FAMILIES["Llava"]
    config = transformers.LlavaConfig(text_config=text, vision_config=vision)
    transformers.LlavaForConditionalGeneration(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    config.text_config.num_hidden_layers = 3
    config.architectures = ["LlavaForConditionalGeneration"]
    config.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"9 of its weights are missing \(model.language_model.layers.2"):
        load_base(Model(path=str(tmp_path), device="cpu"))
