"""L1RA in PEFT: the numbers are those of our own adapters, through merging, saving, loading and other ranks."""

import copy
import json

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

pytest.importorskip("peft")

from peft import PeftModel, PeftType, get_peft_model, get_peft_model_state_dict, inject_adapter_in_model
from peft.utils import set_peft_model_state_dict

from paring.adapters.kinds import L1ra
from paring.adapters.lowrank import LowRankLinear
from paring.integrations.peft import L1raConfig, L1raReferenceConfig, adapters_of, register, save_as_lora
from paring.integrations.peft.l1ra_model import note_ranks, rank_of

X = torch.randn(3, 6, generator=torch.Generator().manual_seed(2))


def randomised(model: PeftModel, adapter: str = "default") -> PeftModel:
    """All three factors random, so that every one of them shows in the output."""
    generator = torch.Generator().manual_seed(4)
    for one in adapters_of(model, adapter).values():
        for parameter in (one.A_RI, one.B_OR):
            parameter.data.normal_(0, 0.3, generator=generator)
        one.c_R.data.uniform_(0.1, 1, generator=generator)
    return model


def moved(model: PeftModel) -> PeftModel:
    """As after a rank event: the first adapter has lost two components, the second has three more."""
    first, second = list(adapters_of(model).values())[:2]
    first.resize([0, 2], torch.zeros(0, first.in_features))
    second.resize([0, 1, 2, 3], torch.randn(3, second.in_features))
    second.B_OR.data.normal_(0, 0.3)
    note_ranks(model)
    return model


@torch.no_grad()
def logits(model: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    return model(tokens).logits


@torch.no_grad()
def test_a_layer_computes_what_ours_does(pair):
    model = randomised(get_peft_model(pair(), L1raConfig(r=3, slack=1.0, lora_alpha=6, target_modules=["0"])))
    own = LowRankLinear(pair()[0], rank=3, scale=2.0, generator=torch.Generator(), gated=True)
    theirs = adapters_of(model)["0"]
    for mine, other in ((own.A_RI, theirs.A_RI), (own.B_OR, theirs.B_OR), (own.c_R, theirs.c_R)):
        mine.copy_(other)
    torch.testing.assert_close(model.base_model.model[0](X), own(X))
    torch.testing.assert_close(theirs.delta_OI(), model.base_model.model[0].get_delta_weight("default"))


def test_gradients_are_those_of_ours(pair):
    model = randomised(get_peft_model(pair(), L1raConfig(r=3, target_modules=["0"])))
    layer, view = model.base_model.model[0], adapters_of(model)["0"]
    own = LowRankLinear(pair()[0], rank=3, scale=8 / 3, generator=torch.Generator(), gated=True)
    own.A_RI, own.B_OR, own.c_R = (nn.Parameter(one.detach().clone()) for one in (view.A_RI, view.B_OR, view.c_R))
    for module in (layer, own):
        module(X).square().sum().backward()
    for mine, other in ((own.A_RI, view.A_RI), (own.B_OR, view.B_OR), (own.c_R, view.c_R)):
        torch.testing.assert_close(mine.grad, other.grad)


def test_a_new_adapter_changes_nothing(tiny_llama, tokens):
    model = get_peft_model(tiny_llama(), L1raConfig())
    assert torch.equal(logits(model, tokens), logits(tiny_llama(), tokens))
    assert len(adapters_of(model)) == 14, "None means all linear modules, but not the head"
    assert all(one.scale == 1 and torch.equal(one.c_R, torch.ones(16)) for one in adapters_of(model).values())


@pytest.mark.parametrize("base", [nn.Linear(6, 5), Conv1D(5, 6)], ids=["Linear", "Conv1D"])
@pytest.mark.parametrize("safe_merge", [False, True])
@torch.no_grad()
def test_merge_is_forward_and_unmerge_undoes_it(base, safe_merge):
    base = copy.deepcopy(base)
    model = randomised(get_peft_model(nn.Sequential(base), L1raConfig(r=3, target_modules=["0"])))
    weight = base.weight.clone()
    expected = model(X)
    assert (expected - base(X)).abs().max() > 0.1
    model.base_model.model[0].merge(safe_merge=safe_merge)
    torch.testing.assert_close(base(X), expected)
    torch.testing.assert_close(model(X), expected)
    model.base_model.model[0].unmerge()
    torch.testing.assert_close(base.weight, weight)
    torch.testing.assert_close(model.merge_and_unload()[0](X), expected)


@torch.no_grad()
def test_safe_merge_refuses_what_is_not_finite(pair):
    model = get_peft_model(pair(), L1raConfig(target_modules=["0"]))
    adapters_of(model)["0"].B_OR[0, 0] = torch.nan
    before = model.base_model.model[0].base_layer.weight.clone()
    with pytest.raises(ValueError, match="NaNs detected"):
        model.merge_and_unload(safe_merge=True)
    assert torch.equal(model.base_model.model[0].base_layer.weight, before)


@pytest.mark.parametrize("quantised", ["Linear4bit", "Linear8bitLt"])
@torch.no_grad()
def test_a_quantised_base_carries_an_adapter(quantised, pair):
    bnb = pytest.importorskip("bitsandbytes")
    base = getattr(bnb.nn, quantised)(64, 32, bias=False, **({"has_fp16_weights": False} if "8" in quantised else {}))
    base.load_state_dict({"weight": torch.randn(32, 64, generator=torch.Generator().manual_seed(3))})
    base = base.to("cpu")
    model = randomised(get_peft_model(nn.Sequential(base), L1raConfig(r=3, target_modules=["0"])))
    x = torch.randn(2, 64)
    delta_OI = adapters_of(model)["0"].delta_OI()
    torch.testing.assert_close(model(x), base(x) + x @ delta_OI.T, rtol=1e-3, atol=1e-3)


def test_other_ranks_survive_saving_and_loading(tiny_llama, tokens, tmp_path):
    model = moved(randomised(get_peft_model(tiny_llama(), L1raConfig(r=4))))
    pattern = {"^model\\.layers\\.0\\.self_attn\\.q_proj": 2, "^model\\.layers\\.0\\.self_attn\\.k_proj": 7}
    assert model.peft_config["default"].rank_pattern == pattern
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(tiny_llama(), tmp_path)
    assert torch.equal(logits(loaded, tokens), logits(model, tokens))
    assert loaded.peft_config["default"].rank_pattern == pattern
    again = tmp_path / "again"
    loaded.save_pretrained(again)
    first, second = (json.loads((folder / "adapter_config.json").read_text()) for folder in (tmp_path, again))
    assert sorted(first.pop("target_modules")) == sorted(second.pop("target_modules"))
    assert first == second


def test_an_adapter_that_is_there_takes_the_ranks_of_what_it_loads(tiny_llama, tokens, tmp_path):
    """What Trainer does to resume: the tensors are loaded, the config beside them is not read."""
    model = moved(randomised(get_peft_model(tiny_llama(), L1raConfig(r=4))))
    model.save_pretrained(tmp_path)
    fresh = get_peft_model(tiny_llama(), L1raConfig(r=4))
    objects = [id(parameter) for parameter in fresh.parameters()]
    fresh.load_adapter(tmp_path, "default", is_trainable=True)
    assert torch.equal(logits(fresh.eval(), tokens), logits(model, tokens))
    assert [id(parameter) for parameter in fresh.parameters()] == objects, "an optimiser knows them by identity"
    assert fresh.peft_config["default"].rank_pattern == model.peft_config["default"].rank_pattern


def test_a_tensor_of_another_model_is_still_refused(pair, tmp_path):
    model = get_peft_model(pair(), L1raConfig(r=4, target_modules=["0"]))
    tensors = get_peft_model_state_dict(model)
    name = next(name for name in tensors if "l1ra_A" in name)
    tensors[name] = torch.zeros(4, 7)
    with pytest.raises(RuntimeError, match=r"size mismatch.*l1ra_A"):
        set_peft_model_state_dict(model, tensors)


@torch.no_grad()
def test_a_model_without_a_peft_model_around_it_works_too(pair):
    config = L1raConfig(r=4, target_modules=["0", "1"], init_weights=False)
    model = inject_adapter_in_model(config, pair())
    tensors = get_peft_model_state_dict(model)
    other = inject_adapter_in_model(L1raConfig(r=2, lora_alpha=4, target_modules=["0", "1"]), pair())
    set_peft_model_state_dict(other, tensors)
    assert torch.equal(model(X), other(X))


@torch.no_grad()
def test_several_adapters_stand_beside_each_other(pair):
    model = randomised(get_peft_model(pair(), L1raConfig(r=2, target_modules=["0"])))
    model.add_adapter("other", L1raConfig(r=3, target_modules=["0"]))
    randomised(model, "other")
    layer, base = model.base_model.model[0], pair()[0]
    updates = {name: layer.get_delta_weight(name) for name in ("default", "other")}
    torch.testing.assert_close(layer(X), base(X) + X @ updates["default"].T)
    model.base_model.set_adapter(["default", "other"])
    torch.testing.assert_close(layer(X), base(X) + X @ (updates["default"] + updates["other"]).T)
    with model.disable_adapter():
        torch.testing.assert_close(layer(X), base(X))
    model.set_adapter("other")
    model.delete_adapter("default")
    torch.testing.assert_close(layer(X), base(X) + X @ updates["other"].T)
    torch.testing.assert_close(model.unload()[0](X), base(X))


@torch.no_grad()
def test_adapters_that_share_a_config_keep_their_own_ranks(pair):
    config = L1raConfig(r=2, target_modules=["0"])
    model = get_peft_model(pair(), config)
    model.add_adapter("ref", config)
    adapters_of(model)["0"].resize([1], torch.zeros(0, 6))
    note_ranks(model)
    assert model.peft_config["default"].rank_pattern == {"^0": 1}
    assert model.peft_config["ref"].rank_pattern == {}


@pytest.mark.parametrize("layout", ["compact", "portable"])
def test_a_plain_lora_folder_gives_the_same_logits(layout, tiny_llama, tokens, tmp_path):
    model = moved(randomised(get_peft_model(tiny_llama(), L1raConfig(r=4))))
    save_as_lora(model, tmp_path / "lora", layout=layout)
    loaded = PeftModel.from_pretrained(tiny_llama(), tmp_path / "lora")
    assert loaded.peft_config["default"].peft_type == PeftType.LORA
    torch.testing.assert_close(logits(loaded, tokens), logits(model, tokens), rtol=0, atol=1e-5)
    with pytest.raises(FileExistsError, match="not empty"):
        save_as_lora(model, tmp_path / "lora")


def test_what_a_lora_folder_cannot_hold_is_refused(pair, tmp_path):
    model = get_peft_model(pair(), L1raConfig(target_modules=["0"], modules_to_save=["1"]))
    with pytest.raises(ValueError, match="modules_to_save"):
        save_as_lora(model, tmp_path)
    with pytest.raises(ValueError, match="no L1RA adapter called 'other'"):
        save_as_lora(get_peft_model(pair(), L1raConfig(target_modules=["0"])), tmp_path, adapter="other")


def test_a_module_may_have_lost_all_its_components(pair, tmp_path):
    model = randomised(get_peft_model(pair(), L1raConfig(r=2, target_modules=["0", "1"], floor=0)))
    adapters_of(model)["0"].resize([], torch.zeros(0, 6))
    note_ranks(model)
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(pair(), tmp_path)
    assert adapters_of(loaded)["0"].rank == 0
    torch.testing.assert_close(loaded(X), model(X))


def test_ranks_by_pattern():
    config = L1raConfig(r=4, rank_pattern={"lin.*": 2, r"^a\.lin": 3})
    assert [rank_of(config, path) for path in ("a.lin", "b.lin", "a.out")] == [3, 2, 8]


def test_the_settings_are_ours():
    config = L1raConfig(r=6, lora_alpha=3, lora_dropout=0.1, events=4, shrink=2.0, floor=2, cap=13)
    assert config.method == L1ra(rank=6, alpha=3.0, dropout=0.1, events=4, shrink=2.0, floor=2, cap=13)
    assert config.scale == 0.5 and config.peft_type == PeftType("L1RA")
    assert L1raReferenceConfig().method.scale == 1.0
    with pytest.raises(ValueError, match="floor = 9 is above rank = 8"):
        L1raConfig(floor=9)
    with pytest.raises(ValueError, match="shrink"):
        L1raConfig(shrink=-1)
    with pytest.raises(TypeError, match="trains no biases"):
        L1raConfig(bias="all")


@pytest.mark.parametrize("module", [nn.Embedding(6, 5), nn.Conv2d(6, 5, 1)], ids=lambda module: type(module).__name__)
def test_modules_that_are_not_linear_are_refused(module):
    with pytest.raises(ValueError, match=r"is not supported\. Currently, only linear modules"):
        get_peft_model(nn.Sequential(module), L1raConfig(target_modules=["0"]))


def test_registering_twice_changes_nothing():
    members = list(PeftType)
    register()
    assert list(PeftType) == members and [one for one in members if "L1RA" in one] == ["L1RA", "L1RA_REFERENCE"]
    assert copy.deepcopy(PeftType.L1RA) is PeftType.L1RA and PeftType("L1RA") is PeftType["L1RA"]
