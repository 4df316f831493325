"""A stored model that is broken in some way gets one refusal, which names file, value and bound, before any work."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import MambaConfig, MambaForCausalLM, PreTrainedModel

from paring.policy.loading import EMBEDDED, Model, load_base, read_config
from paring.policy.stored_model import INDEX, ONE, check_as_stored, check_files, configuration, weight_files

LOCAL = {"local_files_only": True}


@pytest.fixture
def folder(tmp_path) -> Path:
    """A copy of the embedded model, to be broken."""
    return Path(shutil.copytree(EMBEDDED, tmp_path / "model"))


def edit(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"hidden_size": -1}, "config.json has hidden_size = -1: at least 1"),
        ({"vocab_size": 0}, "config.json has vocab_size = 0: at least 1"),
        ({"max_position_embeddings": -1}, "config.json has max_position_embeddings = -1: at least 0"),
        ({"num_hidden_layers": 10**12}, "config.json has num_hidden_layers = 1000000000000: at most 10,000"),
        ({"text_config": {"num_experts": 10**9}}, "config.json has text_config.num_experts = 1000000000: at most"),
        ({"vocab_size": 10**12}, "describes a model of 96,000,000,332,448 parameters, and its files hold 352,224"),
        ({"hidden_size": "many"}, "config.json: Field 'hidden_size' expected int, got str (value: 'many')"),
        ({"hidden_size": float("nan")}, "config.json: Field 'hidden_size' expected int, got float (value: nan)"),
        ({"num_attention_heads": 5}, "config.json: The hidden size (96) is not a multiple of the number of attention"),
        ({"layer_types": ["moon"] * 3}, "config.json: The `layer_types` entries must be in"),
        ({"hidden_act": "swoosh"}, "config.json has hidden_act = 'swoosh', which transformers does not know"),
        ({"rope_parameters": {"rope_type": "spiral"}}, "config.json has rope_parameters.rope_type = 'spiral', which"),
        ({"dtype": "float7"}, "config.json has dtype = 'float7', which transformers does not know"),
        ({"architectures": "LlamaForCausalLM"}, 'config.json has architectures = "LlamaForCausalLM": a list of names'),
        ({"architectures": [3]}, "config.json has architectures = [3]: a list of names"),
        (
            # A wrapper without a text_config would have that of 7 billion parameters.
            {"model_type": "llava", "architectures": ["LlavaForConditionalGeneration"]},
            "parameters, and its files hold 352,224: they do not belong together",
        ),
    ],
)
def test_a_configuration_that_no_model_can_have(folder, changes, words):
    edit(folder, **changes)
    with pytest.raises(ValueError) as caught:
        load_base(Model(path=str(folder), device="cpu"))
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"model.path = {str(folder)!r}: ")


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "config.json is no JSON (Expecting value"),
        ("[]", "config.json is no object of JSON, but []"),
        ("3", "config.json is no object of JSON, but 3"),
        ('{"a":' * 100_000, "config.json is no JSON (maximum recursion depth"),
    ],
)
def test_a_configuration_that_is_none(folder, text, words):
    (folder / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError) as caught:
        read_config(Model(path=str(folder)))
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["attn_implementation", "_attn_implementation", "experts_implementation"])
@pytest.mark.parametrize("value", ["flash_attention_2", "somebody/kernels"])
def test_code_on_the_hub_that_a_configuration_names_is_not_run(folder, name, value):
    edit(folder, **{name: value})
    base, _ = load_base(Model(path=str(folder), device="cpu"))
    assert base.config._attn_implementation == "sdpa"
    assert base.config._experts_implementation in (None, "eager", "grouped_mm")


def sharded(folder: Path) -> dict[str, str]:
    """The weights in two files; gives the place of each."""
    weights = load_file(folder / ONE)
    (folder / ONE).unlink()
    names = sorted(weights)
    places = {}
    for number, part in enumerate((names[:15], names[15:]), start=1):
        file = f"model-0000{number}-of-00002.safetensors"
        save_file({name: weights[name] for name in part}, folder / file, metadata={"format": "pt"})
        places |= dict.fromkeys(part, file)
    return places


def test_weights_in_several_files(folder):
    places = sharded(folder)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}), encoding="utf-8")
    assert [Path(file).name for file in weight_files(str(folder), local=True)] == sorted(set(places.values()))
    weights = load_base(Model(path=str(folder), device="cpu"))[0].state_dict()
    own = load_base(Model(device="cpu"))[0].state_dict()
    assert weights.keys() == own.keys() and all(torch.equal(weights[name], own[name]) for name in own)


@pytest.mark.parametrize("place", ["../other.safetensors", "/other.safetensors", "a\\b.safetensors", "model.bin"])
def test_an_index_names_files_of_its_folder_alone(folder, place):
    """A file elsewhere is not read, nor one that may be a pickle."""
    places = sharded(folder)
    torch.save({}, folder / "model.bin")
    shutil.copy(EMBEDDED / ONE, folder.parent / "other.safetensors")
    index = {"metadata": {}, "weight_map": dict.fromkeys(places, place)}
    (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(ValueError, match="which is no .safetensors file of this folder"):
        weight_files(str(folder), local=True)


@pytest.mark.parametrize(
    "index, words",
    [
        ("{", "is no JSON"),
        ("[]", 'has no "weight_map"'),
        ('{"metadata": {}, "weight_map": {}}', 'has no "weight_map"'),
        ('{"metadata": {}, "weight_map": {"a": 3}}', 'has no "weight_map"'),
        ('{"weight_map": {"a": "b.safetensors"}}', 'has no "metadata"'),
        ('{"metadata": {}, "weight_map": {"a": "b.safetensors"}}', "1 of the 1 files that .* names are not there"),
    ],
)
def test_an_index_that_is_none(folder, index, words):
    (folder / ONE).unlink()
    (folder / INDEX).write_text(index, encoding="utf-8")
    with pytest.raises(ValueError, match=words):
        weight_files(str(folder), local=True)


@pytest.mark.parametrize(
    "dtype, stored", [(torch.int32, "I32"), (torch.bool, "BOOL"), (torch.float8_e4m3fn, "F8_E4M3")]
)
def test_codes_are_no_weights(folder, dtype, stored):
    """transformers would take them for numbers."""
    save_file({name: one.to(dtype) for name, one in load_file(folder / ONE).items()}, folder / ONE)
    with pytest.raises(
        ValueError, match=rf"holds lm_head\.weight as {stored}, and config\.json has no quantization_config"
    ):
        check_files(str(folder), configuration(str(folder), LOCAL), LOCAL)


def test_nothing_is_built_for_a_check(folder, monkeypatch):
    """Not even of the model that files and configuration agree on: it stands on the meta device."""
    made = []
    post_init = PreTrainedModel.post_init

    def noted(model: PreTrainedModel) -> None:
        post_init(model)
        made.append({parameter.device.type for parameter in model.parameters()})

    monkeypatch.setattr(PreTrainedModel, "post_init", noted)
    check_files(str(folder), configuration(str(folder), LOCAL), LOCAL)
    assert made and all(devices == {"meta"} for devices in made)


def test_weights_that_transformers_changes_while_it_loads_them_are_refused(tmp_path):
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "state_size": 4, "vocab_size": 64}
    config = MambaConfig(**sizes, rescale_prenorm_residual=True)
    MambaForCausalLM(config).save_pretrained(tmp_path)
    again = MambaForCausalLM.from_pretrained(tmp_path)
    with pytest.raises(ValueError) as caught:
        check_as_stored(again, str(tmp_path), LOCAL)
    assert "changes 3 weights while it loads them (backbone.layers.0.mixer.out_proj.weight, ...)" in str(caught.value)
    assert str(caught.value).endswith("set rescale_prenorm_residual = false in config.json")
    edit(tmp_path, rescale_prenorm_residual=False)
    check_as_stored(MambaForCausalLM.from_pretrained(tmp_path), str(tmp_path), LOCAL)
