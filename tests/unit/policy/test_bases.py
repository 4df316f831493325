"""The base of an adapter: named so that its folder may move, and known again whatever its precision."""

import json

import pytest
import torch

from paring.adapters.attach import attach, merge
from paring.adapters.kinds import Lora
from paring.policy.bases import FILE, BaseIdentity, check_base, reference, referenced
from paring.policy.loading import EMBEDDED


def test_a_base_is_named_by_its_place_beside_the_adapter(tmp_path):
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    folder, base = tmp_path / "runs" / "one" / "adapter", str(tmp_path / "models" / "tiny")
    assert reference(base, folder) == "../../../models/tiny"
    assert reference(base, tmp_path / "models") == "./tiny"
    folder.mkdir(parents=True)
    assert referenced(reference(base, folder), folder) == base
    assert reference("Qwen/Qwen2.5-0.5B", folder) == "Qwen/Qwen2.5-0.5B" == referenced("Qwen/Qwen2.5-0.5B", folder)


def test_a_model_that_ships_has_a_name_and_no_place(tmp_path):
    assert reference("embedded", tmp_path) == reference(str(EMBEDDED), tmp_path) == "paring-embedded"
    assert referenced("paring-embedded-chains", tmp_path) == "embedded-chains"
    # As exports of another machine had it, and as one of another's would be.
    assert referenced("/elsewhere/site-packages/paring/embedded", tmp_path) == "embedded"
    assert referenced("/elsewhere/paring/other", tmp_path) == "/elsewhere/paring/other"
    assert referenced("paring-stranger", tmp_path) == "paring-stranger"


def test_a_base_is_known_again(tiny):
    one = BaseIdentity.of(tiny(), "one")
    adapted, again = tiny(), tiny()
    adapters = attach(adapted, Lora(rank=2), seed=0)
    assert one.difference(BaseIdentity.of(adapted, "adapted")) is None
    assert one.difference(BaseIdentity.of(again.to(torch.bfloat16), "bf16")) is None
    for adapter in adapters.values():
        adapter.B_OR.data.fill_(0.1)
    merge(adapted)
    for other in (adapted, tiny(seed=1)):
        assert one.difference(BaseIdentity.of(other, "other")) == "its weights are other numbers"
    turned = BaseIdentity.of(tiny(rope_parameters={"rope_type": "default", "rope_theta": 500.0}), "turned")
    assert "rope_theta" in (one.difference(turned) or "")
    longer = BaseIdentity.of(tiny(max_position_embeddings=512, eos_token_id=5), "longer")
    assert one.difference(longer) is None


def test_another_base_of_the_same_shapes_is_refused_with_both_names(tiny, tmp_path):
    BaseIdentity.of(tiny(), "org/one").write(tmp_path)
    assert check_base(tiny(), tmp_path, "org/renamed", "org/one") is None
    with pytest.raises(ValueError, match=r"it was trained on org/one, and this is org/two \(its weights are other"):
        check_base(tiny(seed=1), tmp_path, "org/two", "org/one")


def test_where_the_name_alone_is_known_there_is_a_note(tiny, tmp_path):
    assert check_base(tiny(), tmp_path, "org/one", "org/one") is None
    assert check_base(tiny(), tmp_path, "models/one", "org/One") is None
    assert "names another base model, org/one, and this is org/two" in check_base(
        tiny(), tmp_path, "org/two", "org/one"
    )
    assert "names no base model" in check_base(tiny(), tmp_path, "org/two", None)


@pytest.mark.parametrize("damage", ["", "[]", '{"base": {"name": 3}}', '{"base": {"name": "x"}}'])
def test_a_damaged_record_is_named(damage, tiny, tmp_path):
    BaseIdentity.of(tiny(), "one").write(tmp_path)
    assert json.loads((tmp_path / FILE).read_text())["base"]["name"] == "one"
    (tmp_path / FILE).write_text(damage)
    with pytest.raises(ValueError, match=rf"{FILE}: damaged"):
        BaseIdentity.read(tmp_path)
