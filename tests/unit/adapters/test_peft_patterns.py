"""Adapters of many ranks as PEFT folders: gates folded, ranks by pattern or padded, read back to the same logits."""

import json

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file

from paring.adapters.attach import attach, set_ranks
from paring.adapters.kinds import L1ra
from paring.adapters.peft_format import CONFIG, WEIGHTS, write_peft_folder
from paring.adapters.peft_reading import attach_from_peft, pattern_value, read_peft_folder

LAYER = "model.layers.{}.{}"


@torch.no_grad()
def logits(model, tokens):
    return model(tokens).logits


@pytest.fixture
def gated(tiny_llama):
    """A model whose adapters have ranks 0 to 5, random factors and gates, two of which are 0."""
    model = tiny_llama()
    adapters = attach(model, L1ra(rank=4, alpha=6.0), seed=0)
    set_ranks(adapters, {path: number % 6 for number, path in enumerate(adapters)})
    generator = torch.Generator().manual_seed(5)
    for adapter in adapters.values():
        for factor in (adapter.A_RI, adapter.B_OR):
            factor.data.normal_(0, 0.3, generator=generator)
        adapter.c_R.data.uniform_(0, 1, generator=generator)
    adapters[LAYER.format(0, "self_attn.o_proj")].c_R.data[1] = 0.0
    adapters[LAYER.format(0, "self_attn.k_proj")].c_R.data[0] = 0.0  # its only one
    return model, adapters


@pytest.fixture(params=["compact", "portable"])
def written(request, gated, tmp_path):
    folder = tmp_path / request.param
    folder.mkdir()
    write_peft_folder(folder, gated[1], base_model="org/tiny", layout=request.param)
    return folder


def test_peft_computes_the_same_logits(written, gated, tiny_llama, tokens):
    base, (model, _) = tiny_llama(), gated
    assert (logits(model, tokens) - logits(base, tokens)).abs().max() > 0.1
    reader = PeftModel.from_pretrained(base, written).eval()
    torch.testing.assert_close(logits(reader, tokens), logits(model, tokens), rtol=0, atol=1e-5)
    merged = reader.merge_and_unload()
    torch.testing.assert_close(logits(merged, tokens), logits(model, tokens), rtol=0, atol=1e-5)


def test_we_read_it_back_to_the_same_logits_and_the_same_bytes(written, gated, tiny_llama, tokens, tmp_path):
    again = tiny_llama()
    adapters = attach_from_peft(again, read_peft_folder(written))
    torch.testing.assert_close(logits(again, tokens), logits(gated[0], tokens), rtol=0, atol=1e-5)
    assert all(adapter.c_R is None and adapter.scale == 1.0 for adapter in adapters.values())
    second = tmp_path / "second"
    second.mkdir()
    write_peft_folder(second, adapters, base_model="org/tiny", layout=written.name)
    assert [(second / name).read_bytes() for name in (CONFIG, WEIGHTS)] == [
        (written / name).read_bytes() for name in (CONFIG, WEIGHTS)
    ]


def test_what_is_empty_is_left_out_and_alpha_is_the_rank(written, gated):
    config = json.loads((written / CONFIG).read_text())
    ranks = {path: int((one.c_R > 0).sum()) for path, one in gated[1].items() if (one.c_R > 0).any()}
    largest = max(ranks.values())
    assert config["r"] == config["lora_alpha"] == largest == 5
    assert config["target_modules"] == sorted(ranks) and LAYER.format(0, "self_attn.k_proj") not in ranks
    assert config["rank_pattern"] == config["alpha_pattern"]
    tensors = load_file(written / WEIGHTS)
    stored = {path: len(tensors[f"base_model.model.{path}.lora_A.weight"]) for path in ranks}
    if written.name == "portable":
        assert not config["rank_pattern"] and set(stored.values()) == {largest}
    else:
        differ = {r"^" + path.replace(".", r"\."): rank for path, rank in ranks.items() if rank != largest}
        assert stored == ranks and config["rank_pattern"] == differ
    assert len(tensors) == 2 * len(ranks)


def test_an_adapter_of_which_nothing_is_left_is_its_base(gated, tiny_llama, tokens, tmp_path):
    """A run must not fail at its very end for it."""
    for adapter in gated[1].values():
        adapter.c_R.data.zero_()
    write_peft_folder(tmp_path, gated[1], base_model="org/tiny")
    expected = logits(tiny_llama(), tokens)
    reader, ours = PeftModel.from_pretrained(tiny_llama(), tmp_path).eval(), tiny_llama()
    attach_from_peft(ours, read_peft_folder(tmp_path))
    assert torch.equal(logits(reader, tokens), expected) and torch.equal(logits(ours, tokens), expected)


def test_what_peft_writes_with_patterns_is_read(tiny_llama, tokens, tmp_path):
    config = LoraConfig(
        r=3,
        lora_alpha=6,
        target_modules="all-linear",
        rank_pattern={"q_proj": 1, "layers.1.mlp.up_proj": 5},
        alpha_pattern={"^model.layers.0.self_attn.q_proj": 4},
        task_type="CAUSAL_LM",
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
    assert adapters[LAYER.format(1, "mlp.up_proj")].rank == 5
    assert [adapters[LAYER.format(n, "self_attn.q_proj")].scale for n in (0, 1)] == [4.0, 6.0]


def test_a_rank_pattern_that_does_not_fit_its_tensors_is_refused(written):
    path = written / CONFIG
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"rank_pattern": {r"^model\.layers\.1\.mlp\.down_proj": 9}}))
    with pytest.raises(ValueError, match=r"layers\.1\.mlp\.down_proj \(rank 9, tensors of"):
        read_peft_folder(written)


@pytest.mark.parametrize("key", [r".*proj", "(a+)+$", r"layers\.\d+\.q", "a|b", "layers.[01].q_proj"])
def test_patterns_are_names_and_never_run(key):
    with pytest.raises(ValueError, match="is more than a module's name"):
        pattern_value({key: 1}, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", 2)


def test_which_key_holds():
    patterns = {r"^layers\.1\.q": 1, "q": 2, "1.k": 3}
    paths = ["layers.1.q", "vision.layers.1.q", "layers.1.k", "layers.2.k"]
    assert [pattern_value(patterns, path, 9) for path in paths] == [1, 2, 3, 9]
