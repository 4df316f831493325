"""A divided base: each process reads its own rows, whatever cannot be divided is refused, and nothing is held whole."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import distributed
from torch.testing._internal.distributed.fake_pg import FakeStore
from transformers import AutoConfig, AutoModelForCausalLM, GPTNeoXConfig, MixtralConfig, Qwen3MoeConfig

from paring.policy.loading import EMBEDDED, Model, load_base
from paring.policy.sharding import Whole, held_in_words, is_sharded
from paring.policy.slices import load_in_parts


@pytest.fixture
def process():
    """process(rank, size): from here on this is one of several, which says nothing to the others."""

    def begin(rank, size):
        if distributed.is_initialized():
            distributed.destroy_process_group()
        distributed.init_process_group("fake", rank=rank, world_size=size, store=FakeStore())

    yield begin
    if distributed.is_initialized():
        distributed.destroy_process_group()


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(EMBEDDED, tmp_path / "model")
    return tmp_path / "model"


def divided(folder):
    return load_base(Model(path=str(folder), device="cpu"), divided=True)[0]


@pytest.mark.parametrize("files", [1, 2])
def test_the_parts_of_all_processes_are_the_files(files, process, folder):
    stored = load_file(folder / "model.safetensors")
    if files == 2:
        (folder / "model.safetensors").unlink()
        names = sorted(stored)
        for number, part in enumerate((names[::2], names[1::2])):
            save_file({name: stored[name] for name in part}, folder / f"part-{number}.safetensors", {"format": "pt"})
        index = {name: f"part-{number % 2}.safetensors" for number, name in enumerate(names)}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    whole, _ = load_base(Model(device="cpu"))
    parts = {name: [] for name, _ in whole.named_parameters()}
    for rank in range(3):
        process(rank, 3)
        model = divided(folder)
        assert is_sharded(model) and not is_sharded(whole)
        assert model.lm_head.weight is model.model.embed_tokens.weight, "tied weights are read once"
        assert model.generation_config.eos_token_id == whole.generation_config.eos_token_id
        for name, one in model.named_parameters():
            parts[name].append(one.to_local() if isinstance(one, Whole) else one)
        for (name, ours), (_, theirs) in zip(model.named_buffers(), whole.named_buffers(), strict=True):
            assert torch.equal(ours, theirs), name
        held, total = held_in_words(model).split("holds ")[1].split(" MB")[0].split(" of ")
        assert float(held) / float(total) == pytest.approx(1 / 3, abs=0.05)
    for name, theirs in whole.named_parameters():
        ours = parts[name]
        assert torch.equal(ours[0] if len(ours[0]) == len(theirs) else torch.cat(ours), theirs), name
    assert sum(len(ours[0]) == len(whole.get_parameter(name)) for name, ours in parts.items()) == 1, "the last norm"


SIZES = {"vocab_size": 64, "hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2, "intermediate_size": 48}
EXPERTS = SIZES | {"num_key_value_heads": 2, "num_experts_per_tok": 2}
OTHERWISE = {
    "another name": GPTNeoXConfig(**SIZES),
    "experts": Qwen3MoeConfig(**EXPERTS, num_experts=11, moe_intermediate_size=24),
    "another name and experts": MixtralConfig(**EXPERTS, num_local_experts=4),
}


@pytest.fixture(params=OTHERWISE)
def otherwise(request, tmp_path):
    """The folder of a model whose files name or hold its weights otherwise, and the model."""
    torch.manual_seed(0)
    whole = AutoModelForCausalLM.from_config(OTHERWISE[request.param])
    whole.save_pretrained(tmp_path / "model")
    return tmp_path / "model", whole


def test_weights_under_other_names_and_single_experts_are_read_in_parts(otherwise, process):
    folder, whole = otherwise
    assert load_file(folder / "model.safetensors").keys() - whole.state_dict().keys()
    config, parts = AutoConfig.from_pretrained(folder), {name: [] for name, _ in whole.named_parameters()}
    for rank in range(3):
        process(rank, 3)
        model, _ = load_in_parts(config, torch.device("cpu"), str(folder), dtype=torch.float32)
        for name, one in model.named_parameters():
            parts[name].append(one.to_local() if isinstance(one, Whole) else one)
    for name, theirs in whole.named_parameters():
        ours = parts[name]
        assert torch.equal(ours[0] if len(ours[0]) == len(theirs) else torch.cat(ours), theirs), name


def test_experts_that_are_missing_or_of_another_size_are_refused(process, tmp_path):
    config = OTHERWISE["experts"]
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    process(0, 2)

    def load(config):
        load_in_parts(config, torch.device("cpu"), str(tmp_path), dtype=torch.float32)

    other = Qwen3MoeConfig(**EXPERTS, num_experts=11, moe_intermediate_size=16)
    with pytest.raises(
        ValueError, match=r"an expert of .*gate_up_proj is \[48, 32\] in the files and \[32, 32\] in the"
    ):
        load(other)
    stored = load_file(tmp_path / "model.safetensors")
    del stored["model.layers.0.mlp.experts.7.up_proj.weight"]
    save_file(stored, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"gate_up_proj has 11 experts in the model, and \[10, 11\] in the files"):
        load(config)


def renamed(folder):
    stored = load_file(folder / "model.safetensors")
    save_file({f"other.{name}": one for name, one in stored.items()}, folder / "model.safetensors", {"format": "pt"})


def reshaped(folder):
    stored = load_file(folder / "model.safetensors")
    name = "model.layers.0.self_attn.q_proj.weight"
    save_file(stored | {name: stored[name][:-1].clone()}, folder / "model.safetensors", {"format": "pt"})


def quantised(folder):
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (folder / "config.json").write_text(json.dumps(config))


def without_weights(folder):
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (renamed, "do not hold"),
        (reshaped, r"q_proj.weight is \[95, 96\] in the files and \[96, 96\] in the model"),
        (quantised, "not quantised are read in parts"),
        (without_weights, "neither model.safetensors nor"),
    ],
)
def test_what_cannot_be_read_in_parts_is_refused(spoil, words, process, folder):
    spoil(folder)
    process(0, 2)
    with pytest.raises(ValueError, match=f"{words}.*; set parallel.shard=none"):
        divided(folder)
