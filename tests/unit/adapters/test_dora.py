"""DoRA by hand, against PEFT's own, and through folders of both."""

import json

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers.pytorch_utils import Conv1D

from paring.adapters.attach import attach, merge, parameters_by_name, published_parameters
from paring.adapters.dora import DoraLinear
from paring.adapters.kinds import Dora
from paring.adapters.peft_format import CONFIG, write_peft_folder
from paring.adapters.peft_reading import attach_from_peft, read_peft_folder

SETTINGS = Dora(rank=3, alpha=6.0)


@torch.no_grad()
def logits(model, tokens):
    return model(tokens).logits


def randomised(adapters):
    generator = torch.Generator().manual_seed(2)
    for one in adapters.values():
        one.B_OR.data.normal_(0, 0.2, generator=generator)
        one.m_O.data.mul_(torch.rand(one.m_O.shape, generator=generator) + 0.5)
    return adapters


def test_by_hand():
    base = nn.Linear(2, 1)
    base.weight.data, base.bias.data = torch.tensor([[3.0, 0.0]]), torch.tensor([1.0])
    layer = DoraLinear(base, rank=1, scale=2.0, generator=torch.Generator())
    assert layer.m_O.tolist() == [3.0]
    layer.A_RI.data, layer.B_OR.data, layer.m_O.data = (
        torch.tensor([[0.0, 1.0]]),
        torch.tensor([[2.0]]),
        torch.tensor([10.0]),
    )
    # W + s B A = [3, 4], of norm 5: the weight is 10 / 5 times that, [6, 8].
    assert layer(torch.tensor([1.0, 1.0])).tolist() == [15.0]
    assert layer.delta_OI().tolist() == [[3.0, 8.0]]
    assert layer.merge()(torch.tensor([1.0, 1.0])).tolist() == [15.0]


def test_a_new_adapter_changes_nothing(tiny_llama, tokens):
    model = tiny_llama()
    without = logits(model, tokens)
    adapters = attach(model, SETTINGS, seed=0)
    assert torch.equal(logits(model, tokens), without)
    assert all(one.changes_nothing for one in adapters.values())
    # 3 x (64 + 48 + 48 + 64 + 3 x 80) numbers of A and B, and the outputs of a layer's seven modules.
    assert published_parameters(adapters) == 2 * (3 * 464 + 32 + 16 + 16 + 32 + 48 + 48 + 32)
    next(iter(adapters.values())).m_O.data[0] += 0.1
    assert not all(one.changes_nothing for one in adapters.values())
    adapters["model.layers.0.self_attn.q_proj"].enabled = False
    assert torch.equal(logits(model, tokens), without)


def test_a_row_of_zeros_stays_one():
    base = nn.Linear(3, 2)
    base.weight.data[0] = 0.0
    layer, x = DoraLinear(base, rank=1, scale=1.0, generator=torch.Generator()), torch.ones(3)
    assert torch.equal(layer(x), base(x))


@pytest.fixture
def both(tiny_llama):
    """Ours and PEFT's, of the same numbers."""
    model = tiny_llama()
    adapters = randomised(attach(model, SETTINGS, seed=3))
    config = LoraConfig(r=3, lora_alpha=6, use_dora=True, target_modules="all-linear", task_type="CAUSAL_LM")
    theirs = get_peft_model(tiny_llama(), config)
    for path, one in adapters.items():
        layer = theirs.base_model.model.get_submodule(path)
        layer.lora_A["default"].weight.data = one.A_RI.detach().clone()
        layer.lora_B["default"].weight.data = one.B_OR.detach().clone()
        layer.lora_magnitude_vector["default"].weight.data = one.m_O.detach().clone()
    return model, adapters, theirs


def test_function_and_gradients_are_those_of_peft(both, tokens):
    model, adapters, theirs = both
    torch.testing.assert_close(logits(model, tokens), logits(theirs, tokens), rtol=0, atol=1e-5)
    for one in (model, theirs):
        one(tokens).logits.square().mean().backward()
    for path, one in adapters.items():
        layer = theirs.base_model.model.get_submodule(path)
        pairs = [
            (one.A_RI, layer.lora_A["default"].weight),
            (one.B_OR, layer.lora_B["default"].weight),
            (one.m_O, layer.lora_magnitude_vector["default"].weight),
        ]
        for own, other in pairs:
            torch.testing.assert_close(own.grad, other.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("layout", ["compact", "portable"])
def test_peft_reads_what_we_write_and_so_do_we(both, layout, tiny_llama, tokens, tmp_path):
    model, adapters, _ = both
    write_peft_folder(tmp_path, adapters, base_model="org/tiny", layout=layout)
    assert json.loads((tmp_path / CONFIG).read_text())["use_dora"] is True
    reader = PeftModel.from_pretrained(tiny_llama(), tmp_path).eval()
    torch.testing.assert_close(logits(reader, tokens), logits(model, tokens), rtol=0, atol=1e-5)
    again = tiny_llama()
    read = attach_from_peft(again, read_peft_folder(tmp_path))
    assert all(torch.equal(one, parameters_by_name(adapters)[name]) for name, one in parameters_by_name(read).items())
    assert torch.equal(logits(again, tokens), logits(model, tokens))


def test_we_read_what_peft_writes(both, tiny_llama, tokens, tmp_path):
    _, _, theirs = both
    theirs.save_pretrained(tmp_path)
    model = tiny_llama()
    attach_from_peft(model, read_peft_folder(tmp_path))
    torch.testing.assert_close(logits(model, tokens), logits(theirs, tokens), rtol=0, atol=1e-5)


def test_a_folder_that_contradicts_itself_is_refused(both, tmp_path):
    write_peft_folder(tmp_path, both[1], base_model="org/tiny")
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(config | {"use_dora": False}))
    with pytest.raises(ValueError, match="use_dora = false, and .* has the magnitudes of 14 of 14 modules"):
        read_peft_folder(tmp_path)


@torch.no_grad()
def test_merge_is_forward(both, tokens):
    model, _, _ = both
    expected = logits(model, tokens)
    merge(model)
    torch.testing.assert_close(logits(model, tokens), expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_transposed_base():
    base, x = Conv1D(5, 6), torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    base.bias.data.normal_()
    layer = randomised({"m": DoraLinear(base, rank=2, scale=1.0, generator=torch.Generator())})["m"]
    expected = layer(x)
    assert (expected - base(x)).abs().max() > 0.01
    torch.testing.assert_close(layer.merge()(x), expected)


def test_weights_that_cannot_be_read_are_refused_before_the_model_is_touched(tiny_llama):
    class Packed(nn.Module):
        in_features, out_features = 32, 32

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(8, dtype=torch.uint8), requires_grad=False)

        def forward(self, x):
            return x

    model = tiny_llama()
    model.model.layers[0].self_attn.q_proj = Packed()
    with pytest.raises(ValueError, match=r"must be dense: not so model\.layers\.0\.self_attn\.q_proj \(Packed\)"):
        attach(model, Dora(targets=("q_proj",)), seed=0)
    assert not any(isinstance(module, DoraLinear) for module in model.modules())
