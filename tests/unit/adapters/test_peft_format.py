"""PEFT folders: what we write PEFT reads, what PEFT writes we read, and the rest is refused."""

import json
import os
from math import sqrt
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from paring.adapters.attach import adapters_of, attach
from paring.adapters.kinds import Lora
from paring.adapters.peft_format import CONFIG, WEIGHTS, write_peft_folder
from paring.adapters.peft_reading import attach_from_peft, read_peft_folder

SETTINGS = {
    "plain": Lora(rank=4, alpha=12.0),
    "rank-stabilised": Lora(rank=4, alpha=6.5, scaling="rank-stabilised", dropout=0.25),
    "named": Lora(rank=2, targets=("v_proj", "0.mlp.up_proj")),
    "head": Lora(rank=2, targets=("lm_head", "q_proj")),
}


@torch.no_grad()
def logits(model: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    return model(tokens).logits


@pytest.fixture
def written(tiny_llama, randomise, tmp_path):
    """Writes the folder of a model with random adapters, and returns both."""

    def write(settings: Lora, name: str = "adapter") -> tuple[nn.Module, Path]:
        model, folder = tiny_llama(), tmp_path / name
        folder.mkdir()
        randomise(attach(model, settings, seed=3))
        write_peft_folder(folder, adapters_of(model), base_model="org/tiny")
        return model, folder

    return write


def edit_config(folder: Path, **changes) -> None:
    path = folder / CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_tensors(folder: Path, change) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_peft_reads_what_we_write(settings, written, tiny_llama, tokens):
    model, folder = written(settings)
    base = tiny_llama()
    without = logits(base, tokens)
    assert (logits(model, tokens) - without).abs().max() > 0.1
    reader = PeftModel.from_pretrained(base, folder).eval()
    torch.testing.assert_close(logits(reader, tokens), logits(model, tokens), rtol=0, atol=1e-5)


@pytest.mark.parametrize("rank_stabilised", [False, True])
@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "down_proj"], r".*layers\.1\..*(q|up)_proj"])
def test_we_read_what_peft_writes(rank_stabilised, targets, tiny_llama, tokens, tmp_path):
    config = LoraConfig(
        r=3, lora_alpha=7, use_rslora=rank_stabilised, target_modules=targets, lora_dropout=0.1, task_type="CAUSAL_LM"
    )
    writer = get_peft_model(tiny_llama(), config)
    generator = torch.Generator().manual_seed(4)
    for name, parameter in writer.named_parameters():
        if "lora_" in name:
            parameter.data.normal_(0, 0.2, generator=generator)
    writer.save_pretrained(tmp_path)

    model = tiny_llama()
    adapters = attach_from_peft(model, read_peft_folder(tmp_path))
    torch.testing.assert_close(logits(model, tokens), logits(writer.eval(), tokens), rtol=0, atol=1e-5)
    scale = 7 / sqrt(3) if rank_stabilised else 7 / 3
    assert {(one.rank, one.scale, one.dropout) for one in adapters.values()} == {(3, scale, 0.1)}
    assert all(adapter.A_RI.requires_grad and adapter.A_RI.dtype == torch.float32 for adapter in adapters.values())


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_round_trip_keeps_every_byte(settings, written, tiny_llama, tmp_path):
    _, folder = written(settings)
    again = tmp_path / "again"
    again.mkdir()
    write_peft_folder(again, attach_from_peft(tiny_llama(), read_peft_folder(folder)), base_model="org/tiny")
    assert sorted(path.name for path in again.iterdir()) == [CONFIG, WEIGHTS]
    for name in (CONFIG, WEIGHTS):
        assert (again / name).read_bytes() == (folder / name).read_bytes()


def test_the_config_says_what_the_adapters_are(written):
    _, folder = written(SETTINGS["rank-stabilised"])
    config = json.loads((folder / CONFIG).read_text())
    said = [config[key] for key in ("peft_type", "r", "lora_alpha", "use_rslora", "lora_dropout", "bias")]
    # alpha = s r = 6.5 / sqrt(4) * 4: the scale is said once, whichever rule it came from.
    assert said == ["LORA", 4, 13, False, 0.25, "none"]
    assert config["base_model_name_or_path"] == "org/tiny"
    with safe_open(folder / WEIGHTS, "pt") as weights:
        assert weights.metadata() == {"format": "pt"}
    assert config["target_modules"] == sorted(config["target_modules"]) and len(config["target_modules"]) == 14


def test_modes_follow_the_umask(written):
    before = os.umask(0o027)
    try:
        _, folder = written(SETTINGS["named"])
    finally:
        os.umask(before)
    assert [(folder / name).stat().st_mode & 0o777 for name in (CONFIG, WEIGHTS)] == [0o640, 0o640]


def test_read_gives_the_matrices_by_module_path(written):
    model, folder = written(SETTINGS["named"])
    found = read_peft_folder(folder)
    adapters = adapters_of(model)
    assert tuple(found.tensors) == tuple(sorted(adapters))
    for path, (A_RI, B_OR) in found.tensors.items():
        assert torch.equal(A_RI, adapters[path].A_RI) and torch.equal(B_OR, adapters[path].B_OR)
    assert set(found.scales.values()) == {8.0} and found.dropout == 0.0
    assert found.base_model == "org/tiny"


@pytest.mark.parametrize(
    "changes",
    [
        {"peft_type": "LOHA"},
        {"use_dora": True},
        {"bias": "all"},
        {"modules_to_save": ["lm_head"]},
        {"rank_pattern": "q_proj"},
        {"init_lora_weights": "pissa"},
        {"invented_tomorrow": {"level": 1}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_a_plain_lora_cannot_represent_is_refused_by_name(changes, written):
    _, folder = written(SETTINGS["named"])
    edit_config(folder, **changes)
    with pytest.raises(ValueError, match=rf"{CONFIG} .*{next(iter(changes))}"):
        read_peft_folder(folder)


def test_keys_that_say_nothing_are_fine(written):
    _, folder = written(SETTINGS["named"])
    before = read_peft_folder(folder)
    edit_config(folder, rank_pattern={"q_proj": 2}, alpha_pattern={"v_proj": 16}, invented_tomorrow=None, also=[])
    after = read_peft_folder(folder)
    assert (after.scales, list(after.tensors)) == (before.scales, list(before.tensors))


@pytest.mark.parametrize("changes", [{"r": 0}, {"r": "2"}, {"lora_alpha": 0}, {"lora_dropout": 1.5}])
def test_numbers_out_of_bounds_are_refused(changes, written):
    _, folder = written(SETTINGS["named"])
    edit_config(folder, **changes)
    with pytest.raises(ValueError, match="r, lora_alpha or lora_dropout cannot be used"):
        read_peft_folder(folder)


def test_missing_broken_and_pickled_files_are_refused(written, tmp_path):
    with pytest.raises(ValueError, match=rf"{CONFIG} does not exist"):
        read_peft_folder(tmp_path / "nowhere")
    _, folder = written(SETTINGS["named"])
    (folder / WEIGHTS).write_bytes(b"not a header")
    with pytest.raises(ValueError, match="not a safetensors file"):
        read_peft_folder(folder)
    (folder / WEIGHTS).rename(folder / "adapter_model.bin")
    with pytest.raises(ValueError, match=r"adapter_model\.bin is a pickle"):
        read_peft_folder(folder)
    for damaged in ("[1", '{"a":' * 100_000):
        (folder / CONFIG).write_text(damaged)
        with pytest.raises(ValueError, match="is not JSON"):
            read_peft_folder(folder)


@pytest.mark.parametrize("damage", [lambda one: one * float("nan"), lambda one: one.int()])
def test_what_is_no_finite_number_is_refused(written, damage):
    _, folder = written(SETTINGS["named"])
    save_file({name: damage(one) for name, one in load_file(folder / WEIGHTS).items()}, folder / WEIGHTS)
    with pytest.raises(ValueError, match=r"adapter_model\.safetensors: .* holds what is no finite number"):
        read_peft_folder(folder)


def test_tensors_that_are_no_lora_of_that_rank_are_refused(written):
    _, folder = written(SETTINGS["named"])
    edit_config(folder, r=3)
    with pytest.raises(ValueError, match=r"is not the one .*0\.mlp\.up_proj \(rank 3, tensors of 2 and 2\)"):
        read_peft_folder(folder)
    edit_config(folder, r=2)
    name = "base_model.model.model.layers.0.mlp.up_proj.lora_{}.weight"
    edit_tensors(folder, lambda tensors: tensors.update({name.format("B"): torch.zeros(48, 3)}))
    with pytest.raises(ValueError, match=r"is not the one .*0\.mlp\.up_proj \(rank 2, tensors of 2 and 3\)"):
        read_peft_folder(folder)
    edit_tensors(folder, lambda tensors: tensors.pop(name.format("A")))
    with pytest.raises(ValueError, match=r"A or B is missing of model\.layers\.0\.mlp\.up_proj"):
        read_peft_folder(folder)
    edit_tensors(folder, lambda tensors: tensors.update({"base_model.model.model.q_proj.lora_c": torch.zeros(2)}))
    with pytest.raises(ValueError, match=r"q_proj\.lora_c \[2\] is not"):
        read_peft_folder(folder)
    edit_tensors(folder, lambda tensors: tensors.pop("base_model.model.model.q_proj.lora_c"))
    edit_tensors(folder, lambda tensors: tensors.update({name.format("A"): torch.zeros(32)}))
    with pytest.raises(ValueError, match=r"lora_A\.weight \[32\] is not"):
        read_peft_folder(folder)
    edit_tensors(folder, lambda tensors: tensors.clear())
    with pytest.raises(ValueError, match="missing of every module"):
        read_peft_folder(folder)


def test_an_adapter_of_another_base_model_is_refused_and_the_model_untouched(written, tiny_llama):
    _, folder = written(Lora(targets=("v_proj", "k_proj", "up_proj")))
    shallow, wide = tiny_llama(num_hidden_layers=1), tiny_llama(intermediate_size=64, num_key_value_heads=4)
    with pytest.raises(ValueError, match=r"another base model .*'org/tiny'.*layers\.1\.mlp\.up_proj is no linear"):
        attach_from_peft(shallow, read_peft_folder(folder))
    with pytest.raises(ValueError, match=r"0\.mlp\.up_proj is 32 -> 64, the adapter 32 -> 48; .*; and 1 more"):
        attach_from_peft(wide, read_peft_folder(folder))
    assert not adapters_of(shallow) and not adapters_of(wide)
    attach(shallow, Lora(targets=("q_proj",)), seed=0)
    with pytest.raises(ValueError):
        attach_from_peft(shallow, read_peft_folder(folder))
