"""GPT-2's Conv1D, which keeps its weight as [in, out]: attached, merged, written for PEFT and read back."""

import json

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from paring.adapters.attach import attach, merge
from paring.adapters.kinds import Lora
from paring.adapters.peft_format import write_peft_folder
from paring.adapters.peft_reading import attach_from_peft, read_peft_folder


def gpt2() -> GPT2LMHeadModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=64, n_positions=32))
        for parameter in model.parameters():
            parameter.data.normal_(1 if parameter.ndim == 1 else 0, 0.2)
    return model.eval()


@pytest.fixture
def adapted(randomise):
    model = gpt2()
    adapters = attach(model, Lora(rank=2), seed=0)
    randomise(adapters)
    return model, adapters


@torch.no_grad()
def logits(model, tokens):
    return model(input_ids=tokens).logits


def test_the_update_is_the_transpose_of_a_linear_layer_s(adapted, tokens):
    model, adapters = adapted
    assert [path.removeprefix("transformer.h.0.") for path in adapters][:4] == [
        "attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj",
    ]  # fmt: skip
    sizes = {(one.in_features, one.out_features) for one in adapters.values()}
    assert sizes == {(32, 96), (32, 32), (32, 128), (128, 32)} and all(one.is_transposed for one in adapters.values())
    by_hand = gpt2()
    for path, adapter in adapters.items():
        by_hand.get_submodule(path).weight.data += adapter.delta_OI().T
    attached = logits(model, tokens)
    torch.testing.assert_close(attached, logits(by_hand, tokens), rtol=1e-5, atol=1e-5)
    assert (attached - logits(gpt2(), tokens)).abs().max() > 0.1
    merge(model)
    torch.testing.assert_close(logits(model, tokens), attached, rtol=1e-5, atol=1e-5)


def test_gradients_are_those_of_the_merged_weight(adapted, tokens):
    model, adapters = adapted
    model(input_ids=tokens).logits.square().mean().backward()
    dense = gpt2()
    for path, adapter in adapters.items():
        dense.get_submodule(path).weight.data += adapter.delta_OI().detach().T
    dense(input_ids=tokens).logits.square().mean().backward()
    for path, adapter in adapters.items():
        dW_OI = dense.get_submodule(path).weight.grad.T
        torch.testing.assert_close(adapter.B_OR.grad, adapter.scale * dW_OI @ adapter.A_RI.T, rtol=1e-4, atol=1e-6)


def test_peft_and_we_read_what_was_written(adapted, tokens, tmp_path):
    model, adapters = adapted
    write_peft_folder(tmp_path, adapters, base_model="gpt2")
    assert json.loads((tmp_path / "adapter_config.json").read_text())["fan_in_fan_out"] is True
    expected, again = logits(model, tokens), gpt2()
    attach_from_peft(again, read_peft_folder(tmp_path))
    assert torch.equal(logits(again, tokens), expected)
    peft = pytest.importorskip("peft")
    loaded = peft.PeftModel.from_pretrained(gpt2(), tmp_path)
    torch.testing.assert_close(logits(loaded, tokens), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(logits(loaded.merge_and_unload(), tokens), expected, rtol=1e-5, atol=1e-5)
