"""Checkpoints that also see: their text part, with its own weights and nothing else, its plan and its exports."""

import json

import pytest
import torch
import transformers
from peft import PeftModel

from paring.adapters.attach import attach
from paring.adapters.kinds import Lora
from paring.adapters.peft_format import CONFIG, write_peft_folder
from paring.planning.shapes import on_meta, targets_of
from paring.policy.attention import use_own
from paring.policy.loading import Model, load_base, read_config
from paring.policy.publishing import probe_logits
from paring.policy.wrappers import loader_of, path_in_checkpoint, path_in_model
from paring.subjects.export import exported
from paring.subjects.opening import open_subject

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
    named = dict(whole.named_parameters())
    for own, value in model.named_parameters():
        place = path_in_checkpoint(model, own)
        assert path_in_model(model, place) == path_in_model(model, own) == own
        assert torch.equal(value, named.pop(place))
    assert not any("language_model" in rest or "lm_head" in rest for rest in named)

    planned = [one.path for one in targets_of(on_meta(read_config(path)), "all-linear")]
    assert list(attach(model, Lora(rank=2), seed=0)) == planned
    assert not any("vision" in path or "visual" in path for path in planned)
    assert model.num_parameters() < whole.num_parameters()


@torch.no_grad()
def test_exports_fit_the_whole_checkpoint(wrapper, tmp_path):
    whole, name = wrapper
    (tmp_path / "preprocessor_config.json").write_text("{}")
    model, _ = load_base(Model(path=str(tmp_path), device="cpu"))
    adapters = attach(model, Lora(rank=2, alpha=4.0), seed=0)
    generator = torch.Generator().manual_seed(1)
    for adapter in adapters.values():
        adapter.B_OR.data.normal_(0, 0.1, generator=generator)
    expected = probe_logits(model, 64)
    (tmp_path / "trained").mkdir()
    write_peft_folder(tmp_path / "trained", adapters, base_model="..")  # named as in the text part

    written = exported(tmp_path / "trained", tmp_path / "adapter", merged=False)
    assert written.check.reader.startswith("PEFT") and written.check.difference < 1e-4
    names = json.loads((tmp_path / "adapter" / CONFIG).read_text())["target_modules"]
    assert sorted(names) == sorted(path_in_checkpoint(model, path) for path in adapters)
    assert f"import {loader_of(model)}, " in (tmp_path / "adapter" / "README.md").read_text()
    read = open_subject(str(tmp_path / "adapter")).policy
    use_own(read.model)
    torch.testing.assert_close(probe_logits(read.model, 64), expected, rtol=0, atol=1e-4)
    peft = PeftModel.from_pretrained(whole, tmp_path / "adapter").eval()
    torch.testing.assert_close(probe_logits(peft, 64), expected, rtol=0, atol=1e-4)

    exported(tmp_path / "trained", tmp_path / "merged", merged=True)
    loader = getattr(transformers, loader_of(model, merged=True))
    merged = loader.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(probe_logits(merged, 64), expected, rtol=0, atol=1e-4)
    is_whole = "Text" in name
    assert type(merged).__name__ == (type(whole).__name__ if is_whole else name)
    assert (tmp_path / "merged" / "preprocessor_config.json").exists() == is_whole
    if is_whole:
        vision = {name: value for name, value in peft.get_base_model().named_parameters() if "visual" in name}
        assert vision and all(torch.equal(merged.get_parameter(name), value) for name, value in vision.items())


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
