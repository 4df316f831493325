"""Where modules stand, from their paths: no two that differ are taken for one type without saying so."""

from paring.ranks.places import Place, places


def found(*paths):
    return [(place.stack, place.layer, place.type) for place in places(paths).values()]


def test_stack_layer_type_and_family():
    assert places(["model.layers.3.mlp.up_proj"]) == {
        "model.layers.3.mlp.up_proj": Place("model.layers", 3, "up_proj", "mlp")
    }


def test_a_path_without_a_layer():
    assert found("lm_head", "projector.linear_1") == [("", None, "lm_head"), ("", None, "linear_1")]


def test_an_element_of_a_list_is_no_layer_and_keeps_its_number():
    assert found("projector.0", "projector.2") == [("", None, "projector.0"), ("", None, "projector.2")]
    assert [kind for *_, kind in found("blocks.1.mlp.0", "blocks.1.mlp.2")] == ["mlp.0", "mlp.2"]


def test_types_of_one_name_are_told_apart_within_a_stack():
    paths = [f"decoder.0.{part}" for part in ("self_attn.q_proj", "cross_attn.q_proj", "fc", "mlp.fc", "mlp.up")]
    assert [kind for *_, kind in found(*paths)] == ["self_attn.q_proj", "cross_attn.q_proj", "fc", "mlp.fc", "up"]


def test_stacks_do_not_mix():
    assert found("vision.layers.0.q", "text.layers.0.q") == [("vision.layers", 0, "q"), ("text.layers", 0, "q")]


def test_experts_are_of_one_type():
    paths = [f"m.4.mlp.{part}.up" for part in ("experts.0", "experts.1", "shared")]
    assert found(*paths) == [("m", 4, "*.up"), ("m", 4, "*.up"), ("m", 4, "shared.up")]


def test_a_hostile_path_is_a_name_like_any():
    assert found("m." + "9" * 5000 + ".q", "m.٣.q") == [("", None, "9" * 5000 + ".q"), ("", None, "٣.q")]
