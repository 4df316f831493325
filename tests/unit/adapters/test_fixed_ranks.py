"""Ranks that a recipe fixes module by module: who gets which, what is refused, and that a file says the same."""

import json

import pytest
import torch

from paring import load_run
from paring.adapters.attach import adapters_of, attach, published_parameters, ranks_of
from paring.adapters.fixed_ranks import module_ranks, stated_ranks
from paring.adapters.kinds import Lora
from paring.adapters.paths import matches

FEATURES = {
    f"layers.{layer}.{name}": sides
    for layer in (0, 1)
    for name, sides in {"attn.q_proj": (8, 8), "attn.v_proj": (8, 4), "mlp.down_proj": (12, 8)}.items()
}


def ranks(stated, default=2, **bounds):
    return module_ranks(stated, FEATURES, default=default, **bounds)


def test_a_name_is_a_whole_path_its_end_or_a_pattern():
    path = "model.layers.10.mlp.up_proj"
    for name in (path, "up_proj", "mlp.up_proj", "*.up_proj", "layers.1*", "*", "model.*.up_proj"):
        assert matches(path, name)
    for name in ("proj", "p_proj", "layers.1.*", "mlp", "model.layers.10", "up_pro?", "[u]p_proj"):
        assert not matches(path, name)


def test_the_narrower_name_wins_whatever_the_order():
    stated = {"*": 0, "*.down_proj": 3, "layers.1.mlp.down_proj": 5, "layers.0.attn.*": 1, "layers.0.attn.q_proj": 4}
    expected = {"layers.0.attn.q_proj": 4, "layers.0.attn.v_proj": 1, "layers.0.mlp.down_proj": 3}
    expected["layers.1.mlp.down_proj"] = 5
    assert ranks(stated) == ranks(dict(reversed(stated.items()))) == expected
    assert list(ranks(stated)) == [path for path in FEATURES if path in expected]


def test_what_is_not_named_has_the_default_rank():
    assert ranks({"q_proj": 3}) == {path: 3 if path.endswith("q_proj") else 2 for path in FEATURES}
    # The default may exceed a side, as `rank` may for LoRA of one rank.
    assert ranks({"q_proj": 3}, default=6)["layers.0.attn.v_proj"] == 6


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"attn.k_proj": 1}, r"'attn.k_proj' fits none of the 6 modules of adapter.targets; did you mean '.*attn"),
        ({"x": 1, "y": 2}, r"'x' fits none .* \(and 1 more such\); the last names of their paths: down_proj, q_proj"),
        (
            {"v_proj": 5},
            r"layers.0.attn.v_proj has rank 5, and its smaller side is 4: .* \(and 1 more such\); lower it",
        ),
        ({"*": 0}, "all 6 modules have rank 0"),
        ({"layers.0.*": 1, "*.q_proj": 3}, r"layers.0.attn.q_proj is fitted by '\*.q_proj' = 3 and 'layers.0.\*' = 1"),
        ({"q_proj": 1, "*.q_proj": 3}, "give its rank by its whole path"),
    ],
)
def test_refused(stated, said):
    with pytest.raises(ValueError, match=said):
        ranks(stated)


def test_names_that_overlap_may_agree():
    assert ranks({"layers.0.*": 1, "*.q_proj": 1})["layers.0.attn.q_proj"] == 1


def test_a_bound_of_parameters():
    assert ranks({"*": 1}, most_parameters=2 * (16 + 12 + 20)) == dict.fromkeys(FEATURES, 1)
    with pytest.raises(ValueError, match=r"come to 96 parameters, above adapter.most_parameters = 95"):
        ranks({"*": 1}, most_parameters=95)


def test_a_file_speaks_for_all_modules(tmp_path):
    file = tmp_path / "ranks.json"
    rows = [{"module": "layers.0.attn.q_proj", "start": 4, "end": 3}, {"module": "layers.1.mlp.down_proj", "end": 0}]
    for content in ({"modules": rows}, {row["module"]: row["end"] for row in rows}):
        file.write_text(json.dumps(content))
        assert ranks(stated_ranks(str(file))) == {"layers.0.attn.q_proj": 3}


@pytest.mark.parametrize(
    "content", ["", "[", "[]", "{}", '{"a": -1}', '{"a": 1.0}', '{"modules": [1]}', '{"modules": []}', "[" * 10**5]
)
def test_a_file_that_is_none(tmp_path, content):
    (tmp_path / "ranks.json").write_text(content)
    with pytest.raises(ValueError, match=r"adapter.ranks = .*ranks.json' is not JSON|neither what"):
        stated_ranks(str(tmp_path / "ranks.json"))


def test_adapters_of_rank_0_are_not_there_and_all_share_the_scale(tiny_llama, tokens):
    model = tiny_llama()
    plain = model(tokens).logits
    adapters = attach(model, Lora(rank=8, alpha=16.0, ranks={"*": 0, "down_proj": 3, "1.mlp.down_proj": 5}), seed=0)
    assert ranks_of(adapters) == {"model.layers.0.mlp.down_proj": 3, "model.layers.1.mlp.down_proj": 5}
    assert published_parameters(adapters) == 8 * (48 + 32) and {one.scale for one in adapters.values()} == {2.0}
    assert torch.equal(model(tokens).logits, plain)
    # The first values are those of the same rows at another rank.
    uniform = attach(tiny_llama(), Lora(rank=8, targets=("down_proj",)), seed=0)
    for path, adapter in adapters.items():
        assert torch.equal(adapter.A_RI, uniform[path].A_RI[: adapter.rank])


def test_a_rank_that_does_not_fit_leaves_the_model_untouched(tiny_llama):
    model = tiny_llama()
    with pytest.raises(ValueError, match="has rank 33"):
        attach(model, Lora(ranks={"q_proj": 33}), seed=0)
    assert not adapters_of(model) and all(parameter.requires_grad for parameter in model.parameters())


def test_the_settings():
    one = {"*.down_proj": 4, "model.layers.0.self_attn.q_proj": 2}
    # Quoted, as a section, and without quotes, as a table within tables.
    nested = {"*": {"down_proj": 4}, "model": {"layers": {"0": {"self_attn": {"q_proj": 2}}}}}
    for given in (one, nested):
        assert load_run("quickstart", adapter={"ranks": given}).adapter.ranks == one
    assert load_run("quickstart", **{'adapter.ranks."*.down_proj"': 4}).adapter.ranks == {"*.down_proj": 4}
    for bad, said in (
        ({"ranks": {"q_proj": -1}}, "adapter.ranks.q_proj = -1: must be at least 0"),
        ({"ranks": {"q_proj": "2"}}, "adapter.ranks.q_proj = '2': must be an integer"),
        ({"ranks": {"q_proj": 2}, "start": "x"}, "has ranks of its own"),
        ({"most_parameters": 9}, "give ranks, or leave it out"),
        ({"ranks": {"q_proj": 2}, "kind": "l1ra"}, "adapter.ranks: exists, but not for the kind"),
    ):
        with pytest.raises(ValueError, match=said) as error:
            load_run("quickstart", adapter=bad)
        assert "\n" not in str(error.value)
