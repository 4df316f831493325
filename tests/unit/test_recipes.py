"""Reading recipes and overrides: names, paths, run folders, and files that are none."""

import pytest

from paring.settings.complaints import RecipeError
from paring.settings.recipes import (
    described,
    flattened,
    override,
    parse_override,
    read_recipe,
    recipe_names,
    recipe_text,
)


def test_the_shipped_recipes_are_described():
    assert {"quickstart", "smollm2-arithmetic", "gsm8k-rgra"} <= set(recipe_names())
    assert list(described()) == recipe_names()
    assert all(10 < len(text) < 110 for text in described().values())


def test_a_recipe_of_one_s_own_goes_before_no_shipped_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").write_text("seed = 5")
    assert read_recipe("quickstart")["seed"] == 0
    assert read_recipe("./quickstart") == {"seed": 5}
    assert read_recipe(tmp_path / "quickstart") == {"seed": 5}


def test_a_byte_order_mark_is_no_fault(tmp_path):
    (tmp_path / "mine.toml").write_bytes(b"\xef\xbb\xbfseed = 5")
    assert read_recipe(tmp_path / "mine.toml") == {"seed": 5}
    assert recipe_text(tmp_path / "mine.toml") == "seed = 5"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"seed = = 3", "not readable as TOML: .*line 1"),
        (b"seed = 1\nseed = 2", "not readable as TOML"),
        ("description = 'é'".encode("latin1"), "not UTF-8 text"),
        (b"\x00\xff", "not UTF-8 text"),
    ],
)
def test_a_file_that_is_no_recipe_is_named(tmp_path, content, expected):
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=f"mine.toml: {expected}"):
        read_recipe(path)


@pytest.mark.parametrize("name", ["nope", "nope.toml", "."])
def test_a_recipe_that_is_not_there_comes_with_those_that_are(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        RecipeError, match=r"(no such recipe or file|a folder that holds no run .*); recipes: .*quickstart"
    ):
        read_recipe(name)


@pytest.mark.parametrize("text", ["seed", "=3", " = 3", ".x=3", "x.=3", "a..b=3", ""])
def test_an_override_without_key_or_value_is_refused(text):
    with pytest.raises(RecipeError, match="is not of the form key=value, such as optimiser.lr=1e-4"):
        parse_override(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b=3", ("a.b", 3)),
        ("a=nan=3", ("a", "nan=3")),
        ("a=", ("a", "")),
        ("a=true", ("a", True)),
        ("a=True", ("a", "True")),
        ("a=[1, 2]", ("a", [1, 2])),
        ("a='3'", ("a", "3")),
    ],
)
def test_overrides(text, expected):
    assert parse_override(text) == expected


def test_a_section_is_merged_and_a_value_replaced():
    data = {"rollout": {"problems": 1, "group_size": 2}}
    override(data, "rollout", {"problems": 5})
    override(data, "save.every", 3)
    assert data == {"rollout": {"problems": 5, "group_size": 2}, "save": {"every": 3}}
    with pytest.raises(RecipeError, match=r"rollout\.problems\.x: problems is a value, not a section"):
        override(data, "rollout.problems.x", 1)


def test_a_name_with_dots_stands_in_quotes():
    data = {}
    override(data, "adapter", {"ranks": {"*.up_proj": 4, "*": 0}})
    override(data, 'adapter.ranks."model.layers.0.mlp.up_proj"', 2)
    assert data == {"adapter": {"ranks": {"*.up_proj": 4, "*": 0, "model.layers.0.mlp.up_proj": 2}}}
    flat = flattened(data)
    assert list(flat)[:2] == ['adapter.ranks."*.up_proj"', "adapter.ranks.*"]
    again = {}
    for key, value in flat.items():
        override(again, key, value)
    assert again == data
    # The keys of a study's arm may be dotted already.
    assert list(flattened({"adapter.ranks": {"*.up_proj": 4}})) == ['adapter.ranks."*.up_proj"']
