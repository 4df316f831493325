"""Attaching to a model: which modules, from which seed, and the ways back."""

import pytest
import torch
from torch import nn

from paring.adapters.attach import (
    adapters_of,
    attach,
    detach,
    load_state,
    merge,
    published_parameters,
    ranks_of,
    set_ranks,
    state,
    switched_off,
)
from paring.adapters.kinds import L1ra, L1raReference, Lora
from paring.adapters.lowrank import LowRankLinear
from paring.adapters.targets import linear_modules

NAMES = [f"self_attn.{name}_proj" for name in "qkvo"] + [f"mlp.{name}_proj" for name in ("gate", "up", "down")]
ALL = [f"model.layers.{layer}.{name}" for layer in (0, 1) for name in NAMES]


@torch.no_grad()
def logits(model: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    return model(tokens).logits


def test_settings_derive_the_scale_and_take_a_list_and_an_integer_from_toml():
    assert Lora(rank=4, alpha=16).scale == 4.0
    assert Lora(rank=4, alpha=16, scaling="rank-stabilised").scale == 8.0
    assert Lora(targets=["q_proj", "v_proj"]).targets == ("q_proj", "v_proj")


@pytest.mark.parametrize("bad", [{"rank": 0}, {"alpha": 0.0}, {"dropout": 1.0}, {"targets": "q_proj"}, {"targets": []}])
def test_settings_refuse(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Lora(**bad)


def test_all_linear_is_everything_but_the_head_in_the_models_order(tiny_llama):
    model = tiny_llama()
    adapters = attach(model, Lora(rank=2, alpha=6.0, dropout=0.1), seed=0)
    assert list(adapters) == ALL and "lm_head" in linear_modules(model)
    assert {(one.rank, one.scale, one.dropout, one.training) for one in adapters.values()} == {(2, 3.0, 0.1, False)}
    assert adapters == adapters_of(model)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {f"{path}.{matrix}" for path in ALL for matrix in ("A_RI", "B_OR")}


def test_all_linear_leaves_out_the_head_by_what_it_is_not_by_its_name(tiny_llama):
    model = tiny_llama()
    model.get_output_embeddings = lambda: model.model.layers[1].mlp.down_proj
    chosen = list(attach(model, Lora(), seed=0))
    assert chosen == [path for path in [*ALL, "lm_head"] if path != "model.layers.1.mlp.down_proj"]


def test_targets_are_whole_paths_or_last_components(tiny_llama):
    def chosen(*targets: str) -> list[str]:
        return list(attach(tiny_llama(), Lora(targets=targets), seed=0))

    assert chosen("v_proj", "q_proj") == [path for path in ALL if path.endswith((".q_proj", ".v_proj"))]
    assert chosen("1.mlp.up_proj") == ["model.layers.1.mlp.up_proj"]
    assert chosen("model.layers.0.self_attn.o_proj") == ["model.layers.0.self_attn.o_proj"]
    assert chosen("lm_head") == ["lm_head"]


def test_a_target_that_matches_nothing_is_named_and_the_model_untouched(tiny_llama):
    model = tiny_llama()
    # "proj" ends every name, but is no component of one.
    with pytest.raises(ValueError, match=r"'proj' matches no .*: down_proj, gate_proj, k_proj, lm_head, o_proj"):
        attach(model, Lora(targets=("q_proj", "proj")), seed=0)
    assert not adapters_of(model) and all(parameter.requires_grad for parameter in model.parameters())
    with pytest.raises(ValueError, match="all-linear"):
        attach(nn.Sequential(nn.Conv1d(2, 2, 1)), Lora(), seed=0)


def test_a_tied_head_is_never_adapted(tiny_llama):
    model = tiny_llama(tie_word_embeddings=True)
    with pytest.raises(ValueError, match="share the weight"):
        attach(model, Lora(targets=("lm_head",)), seed=0)
    assert list(attach(model, Lora(), seed=0)) == ALL


def test_attaching_twice_is_refused(tiny_llama):
    model = tiny_llama()
    attach(model, Lora(targets=("q_proj",)), seed=0)
    with pytest.raises(ValueError, match="adapters already"):
        attach(model, Lora(targets=("v_proj",)), seed=0)


def test_first_values_depend_on_seed_and_path_alone(tiny_llama):
    every = attach(tiny_llama(), Lora(rank=2), seed=5)
    some = attach(tiny_llama(), Lora(rank=2, targets=("1.self_attn.q_proj", "v_proj")), seed=5)
    other = attach(tiny_llama(), Lora(rank=2), seed=6)
    assert all(torch.equal(adapter.A_RI, every[path].A_RI) for path, adapter in some.items())
    drawn = [adapter.A_RI for adapters in (every, other) for adapter in adapters.values()]
    assert len({tuple(A_RI.flatten().tolist()) for A_RI in drawn}) == 2 * len(ALL)


def test_attached_logits_are_those_of_the_base_then_of_the_merged_weights(tiny_llama, tokens, randomise):
    model, by_hand = tiny_llama(), tiny_llama()
    base = logits(model, tokens)
    adapters = attach(model, Lora(rank=2), seed=0)
    assert torch.equal(logits(model, tokens), base)
    randomise(adapters)
    for path, adapter in adapters.items():
        by_hand.get_submodule(path).weight.data += adapter.delta_OI()
    attached = logits(model, tokens)
    torch.testing.assert_close(attached, logits(by_hand, tokens), rtol=1e-5, atol=1e-5)
    assert (attached - base).abs().max() > 0.1


def test_switched_off_is_the_base_bit_for_bit_and_restores_even_after_an_exception(tiny_llama, tokens, randomise):
    model = tiny_llama()
    base = logits(model, tokens)
    adapters = attach(model, Lora(), seed=0)
    randomise(adapters)
    attached = logits(model, tokens)
    adapters[ALL[3]].enabled = False
    before = [adapter.enabled for adapter in adapters.values()]
    with pytest.raises(KeyError), switched_off(model):
        assert torch.equal(logits(model, tokens), base)
        raise KeyError
    assert [adapter.enabled for adapter in adapters.values()] == before
    adapters[ALL[3]].enabled = True
    assert torch.equal(logits(model, tokens), attached)


def test_detach_puts_the_bases_back_unchanged(tiny_llama, tokens, randomise):
    model = tiny_llama()
    modules = linear_modules(model)
    base = logits(model, tokens)
    randomise(attach(model, Lora(), seed=0))
    detach(model)
    assert linear_modules(model) == modules  # the very same modules
    assert torch.equal(logits(model, tokens), base)


def test_merge_leaves_a_plain_model_that_computes_the_same(tiny_llama, tokens, randomise):
    model = tiny_llama()
    names = list(model.state_dict())
    randomise(attach(model, Lora(scaling="rank-stabilised"), seed=0))
    attached = logits(model, tokens)
    merge(model)
    assert not adapters_of(model) and list(model.state_dict()) == names
    torch.testing.assert_close(logits(model, tokens), attached, rtol=1e-5, atol=1e-5)


def test_merge_changes_nothing_if_one_base_cannot_be_merged(tiny_llama, tokens, randomise):
    class OtherLinear(nn.Linear):
        """Stands for a quantised layer, which derives from nn.Linear too."""

        def forward(self, x):
            return nn.functional.linear(x, self.weight.round(decimals=1))

    model = tiny_llama()
    model.model.layers[1].mlp.down_proj = OtherLinear(48, 32, bias=False)
    randomise(attach(model, Lora(), seed=0))
    attached = logits(model, tokens)
    with pytest.raises(ValueError, match="OtherLinear"):
        merge(model)
    assert list(adapters_of(model)) == ALL and torch.equal(logits(model, tokens), attached)


def test_a_subclass_that_computes_the_same_product_merges(tiny_llama, tokens, randomise):
    class OwnLinear(nn.Linear):
        """As Falcon's."""

        def forward(self, x):
            return x @ self.weight.T

    model = tiny_llama()
    model.model.layers[1].mlp.down_proj = OwnLinear(48, 32, bias=False)
    randomise(attach(model, Lora(), seed=0))
    attached = logits(model, tokens)
    merge(model)
    torch.testing.assert_close(logits(model, tokens), attached, rtol=1e-5, atol=1e-5)
    assert not adapters_of(model) and type(model.model.layers[1].mlp.down_proj) is OwnLinear


def test_state_goes_into_another_model(tiny_llama, tokens, randomise):
    model, other = tiny_llama(), tiny_llama()
    randomise(attach(model, Lora(), seed=0))
    tensors = state(adapters_of(model))
    assert list(tensors)[:2] == [f"{ALL[0]}.A", f"{ALL[0]}.B"]
    load_state(attach(other, Lora(), seed=1), tensors)
    assert torch.equal(logits(other, tokens), logits(model, tokens))


def test_load_state_lists_what_does_not_fit_and_copies_nothing(tiny_llama):
    adapters = attach(tiny_llama(), Lora(rank=2, targets=("q_proj",)), seed=0)
    first, second = adapters
    before = {name: tensor.clone() for name, tensor in state(adapters).items()}
    tensors = {f"{first}.A": torch.zeros(2, 32), f"{first}.B": torch.zeros(32, 3), f"{second}.A": torch.zeros(2, 32)}
    with pytest.raises(ValueError) as error:
        load_state(adapters, tensors | {"elsewhere.A": torch.zeros(2, 2)})
    for complaint in (f"{second}.B is missing", "elsewhere.A belongs to no", f"{first}.B is [32, 3], not [32, 2]"):
        assert complaint in str(error.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in state(adapters).items())

    with pytest.raises(ValueError, match="and 23 more"):  # of 28 tensors
        load_state(attach(tiny_llama(), Lora(), seed=0), {})


def test_adapters_stand_on_whatever_maps_inputs_to_outputs():
    class Halved(nn.Module):
        """A linear-like module that is no nn.Linear and holds its weight in a buffer, as packed layers do."""

        in_features, out_features = 2, 2

        def __init__(self):
            super().__init__()
            self.register_buffer("packed", torch.tensor([[2, 0], [0, 4]], dtype=torch.int8))

        def forward(self, x):
            return x @ (self.packed / 2).T

    model = nn.Sequential(Halved(), nn.ReLU())
    adapters = attach(model, Lora(rank=1, alpha=1.0), seed=0)
    assert list(adapters) == ["0"] and type(adapters["0"]) is LowRankLinear
    adapters["0"].A_RI.data = torch.tensor([[1.0, 1.0]])
    adapters["0"].B_OR.data = torch.tensor([[0.0], [10.0]])
    # W x = [1, 6]; B A x = [0, 40].
    assert model(torch.tensor([1.0, 3.0])).tolist() == [1.0, 46.0]


def test_l1ra_starts_with_open_gates_and_the_reference_s_rows(tiny_llama):
    ours = attach(tiny_llama(), L1ra(rank=2), seed=0)
    lora = attach(tiny_llama(), Lora(rank=4), seed=0)  # the start rank of l1ra is 2 x rank
    assert all(torch.equal(ours[path].A_RI, lora[path].A_RI) for path in lora)
    assert all(adapter.c_R.tolist() == [1.0] * 4 for adapter in ours.values())
    reference = attach(tiny_llama(), L1raReference(rank=16), seed=0)
    A = torch.cat([adapter.A_RI.flatten() for adapter in reference.values()])
    assert float(A.std()) == pytest.approx(1 / 16, rel=0.02)  # N(0, 1 / r0)
    assert {adapter.scale for adapter in reference.values()} == {1.0}


def test_set_ranks_makes_room_for_the_tensors_of_a_checkpoint(tiny_llama, tokens, randomise):
    model, other = tiny_llama(), tiny_llama()
    adapters = attach(model, L1ra(rank=3), seed=0)
    randomise(adapters)
    for number, adapter in enumerate(adapters.values()):
        adapter.resize(range(number % 4), adapter.A_RI.new_ones(number % 3, adapter.in_features))
    tensors = {name: value.clone() for name, value in state(adapters).items()}
    again = attach(other, L1ra(rank=3), seed=9)
    set_ranks(again, ranks_of(adapters))
    load_state(again, tensors)
    assert torch.equal(model(tokens).logits, other(tokens).logits)
    assert published_parameters(again) == sum(value.numel() for name, value in tensors.items() if name[-1] != "c")


def test_a_rank_map_of_another_model_is_refused(tiny_llama):
    adapters = attach(tiny_llama(), L1ra(rank=3), seed=0)
    ranks = ranks_of(adapters) | {"model.layers.9.mlp.up_proj": 2}
    with pytest.raises(ValueError, match=r"of another model: 1 modules differ, such as model\.layers\.9\.mlp\.up_proj"):
        set_ranks(adapters, ranks)
