"""Adapters for others: read back as they were trained, or said to be read otherwise."""

import json

import pytest
import torch
from peft import PeftModel
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from paring.adapters.attach import adapters_of, attach, set_ranks
from paring.adapters.kinds import L1ra, Lora
from paring.adapters.peft_format import CONFIG, taken_for_experts, write_peft_folder
from paring.adapters.peft_reading import attach_from_peft, read_peft_folder
from paring.policy import publishing
from paring.policy.publishing import probe_logits, publish

SIZES = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, vocab_size=64)
SIZES |= dict(moe_intermediate_size=24, num_key_value_heads=2, eos_token_id=63, pad_token_id=0, bos_token_id=None)
ROUTED = dict(n_routed_experts=4, n_shared_experts=1, first_k_dense_replace=1, n_group=1, topk_group=1)
# Models with experts beside dense or shared layers: PEFT rewrites the targets of the first three, not of the last.
MIXED = {
    "glm4_moe": ROUTED | dict(num_experts_per_tok=2, head_dim=8),
    "deepseek_v2": ROUTED
    | dict(num_experts_per_tok=2, num_key_value_heads=4, head_dim=4, q_lora_rank=None, kv_lora_rank=8)
    | dict(qk_rope_head_dim=4, qk_nope_head_dim=4, v_head_dim=8, topk_method="greedy"),
    "ernie4_5_moe": dict(moe_num_experts=4, moe_layer_start_index=1, moe_k=2),
    "qwen2_moe": dict(num_experts=4, shared_expert_intermediate_size=24, num_experts_per_tok=2),
}


def mixed(family):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **SIZES | MIXED[family])).eval()
        for parameter in model.parameters():
            parameter.data.normal_(1 if parameter.ndim == 1 else 0, 0.3)
    return model


@pytest.fixture(params=MIXED)
def adapted(request):
    """A family, a model of it, and adapters of ranks 1 to 4 on its linear layers, its router left out."""
    model = mixed(request.param)
    linear = [path for path, module in model.named_modules() if type(module) is nn.Linear and path != "lm_head"]
    adapters = attach(model, L1ra(rank=3, targets=tuple(linear)), seed=0)
    set_ranks(adapters, {path: 1 + number % 4 for number, path in enumerate(adapters)})
    generator = torch.Generator().manual_seed(1)
    for adapter in adapters.values():
        adapter.A_RI.data.normal_(0, 0.3, generator=generator)
        adapter.B_OR.data.normal_(0, 0.2, generator=generator)
    return request.param, model, adapters


@pytest.mark.parametrize("has_peft", [True, False])
def test_peft_reads_models_of_experts_and_dense_layers(adapted, has_peft, tmp_path, monkeypatch):
    family, model, adapters = adapted
    expected, before = probe_logits(model, 64), dict(model.named_modules())
    if not has_peft:
        monkeypatch.setattr(publishing, "find_spec", lambda name: None)
    read = publish(tmp_path, model, adapters, base="org/mixed", target=tmp_path)
    assert read.fault is None and read.difference < 1e-4
    assert str(read).startswith("read back by PEFT" if has_peft else "read back by paring")
    peft = PeftModel.from_pretrained(mixed(family), tmp_path).eval()
    assert (probe_logits(mixed(family), 64) - expected).abs().max() > 1
    torch.testing.assert_close(probe_logits(peft, 64), expected, rtol=0, atol=1e-4)
    ours = mixed(family)
    attach_from_peft(ours, read_peft_folder(tmp_path))
    torch.testing.assert_close(probe_logits(ours, 64), expected, rtol=0, atol=1e-4)
    # The check has left the model as it was.
    assert dict(model.named_modules()) == before
    torch.testing.assert_close(probe_logits(model, 64), expected, rtol=0, atol=0)
    named = json.loads((tmp_path / CONFIG).read_text()).get("target_parameters", [])
    rewritten = family != "qwen2_moe" or not has_peft
    assert named == (sorted(f"{path}.weight" for path in taken_for_experts(model, adapters)) if rewritten else [])


def test_what_peft_reads_otherwise_is_said(adapted, tmp_path):
    family, model, adapters = adapted
    write_peft_folder(tmp_path, adapters, base_model="org/mixed")
    own = {path: (one.A_RI, one.gated_OR, one.scale, None) for path, one in adapters.items()}
    read = publishing._read_by_peft(model, tmp_path, own)
    if family == "qwen2_moe":
        assert read.fault is None
    else:
        assert "the update differs in model.layers.0.mlp.down_proj" in read.fault and read.difference > 1
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(config | {"target_modules": 3}))
    assert "PEFT fails" in publishing._read_by_peft(model, tmp_path, own).fault
    assert adapters_of(model).keys() == adapters.keys()


def test_a_wrong_scale_shows(tiny, with_adapters, tmp_path):
    model = tiny()
    adapters = with_adapters(model)
    own = {
        path: (one.A_RI, one.B_OR, one.scale * (1.05 if "0.mlp.up" in path else 1), None)
        for path, one in adapters.items()
    }
    write_peft_folder(tmp_path, adapters, base_model="org/tiny")
    for reading in (publishing._read_by_peft(model, tmp_path, own), publishing._read_by_us(tmp_path, own)):
        assert reading.fault == "the update differs in model.layers.0.mlp.up_proj"


def test_a_dense_model_has_nothing_that_is_taken_for_experts(tiny):
    model = tiny()
    assert not taken_for_experts(model, attach(model, Lora(), seed=0))
