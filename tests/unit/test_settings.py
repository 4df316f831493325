"""The reference of settings: complete, with type, default, bound and meaning, and on its page."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from paring.settings.complaints import valid_keys
from paring.settings.reference import Setting, sections, settings_of
from paring.settings.since import SINCE, since
from paring.training.config import METHODS, SftRun

ROOT = Path(__file__).parents[2]


def test_the_page_is_what_the_code_gives():
    spec = importlib.util.spec_from_file_location("write_settings", ROOT / "tools" / "write_settings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run python tools/write_settings.py"


@pytest.mark.parametrize("root", METHODS.values())
def test_every_setting_is_there_and_has_a_meaning(root):
    found = settings_of(root)
    keys = {key for key in valid_keys(root)}
    sections_of = {key.rpartition(".")[0] for key in keys}
    assert {one.key for one in found} == keys - sections_of
    assert [one.key for one in found if not (one.meaning and one.type)] == []


def test_every_setting_names_the_version_that_brought_it():
    keys = {one.key for root in METHODS.values() for one in settings_of(root)}
    assert set(since()) == keys, "src/paring/settings/since.py has each setting once, in the version of CHANGELOG.md"
    assert sum(len(re.findall(r"[a-z0-9_]+(?!\S)", text)) for text in SINCE.values()) == len(keys)
    headings = re.findall(r"^## \[(.+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert list(SINCE) == [heading.lower() for heading in headings]


def test_a_setting_says_its_type_default_and_bound():
    rows = {one.key: one for one in sections(METHODS)["rollout (rl)"]}
    size = rows["rollout.group_size"]
    assert (size.type, size.default, size.bound) == ("integer", "required", "at least 2")
    assert rows["rollout.top_p"].bound == "above 0, at most 1" and rows["rollout.top_p"].default == "1"


def test_kinds_that_agree_share_a_row_and_others_do_not():
    clips = [one for one in sections(METHODS)["objective (rl)"] if one.key == "objective.clip_high"]
    by_default = {one.default: one.kinds for one in clips}
    assert by_default["0.28"] == ("dapo",) and "grpo" in by_default["0.2"]
    kinds = next(one for one in sections(METHODS)["objective (rl)"] if one.key == "objective.kind")
    assert kinds.default == '"rgra"' and kinds.type.startswith('"rgra" or "grpo" or ')


def test_what_a_class_says_below_a_field_or_in_its_table_is_the_meaning():
    rows = {one.key: one for one in settings_of(SftRun)}
    assert rows["batch"] == Setting(
        "batch", (), "integer", "8", "at least 1, at most 1000000000", "Examples a step.", "0.1.0"
    )
    assert rows["data.loss_on"].meaning == "The assistant's turns, or every token."


def test_sections_that_methods_share_stand_once():
    names = list(sections(METHODS))
    assert "adapter" in names and "adapter (sft)" not in names
    assert {"evaluate (rl)", "evaluate (sft)", "data (sft)", "task (rl)"} <= set(names)


def test_keys_on_the_command_line(paring, refused):
    shown = paring("recipes", "--keys", "save").stdout
    assert shown.startswith(
        "[save]\nsave.every: integer; at least 0, at most 1000000000; default 25; since 0.1.0\n    "
    )
    assert list(json.loads(paring("recipes", "--keys", "--json").stdout)) == list(sections(METHODS))
    assert "error: section 'sav': unknown; choices: run, model, " in refused("recipes", "--keys", "sav")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("train quickstart --lr 1e-3", "--lr: settings are written KEY=VALUE, without dashes: optimiser.lr=1e-3"),
        ("train quickstart --num-generations=4", "rollout.group_size=4"),
        ("train quickstart --rollout.group_size 4", "rollout.group_size=4"),
        ("train quickstart --steps 4", "without dashes: steps=4"),
        ("plan quickstart --lora_r 4", "adapter.rank=4"),
        ("train quickstart --nonsense", "see paring recipes --keys"),
        ("train quickstart --resum x", "--resum: no such option; did you mean --resume?"),
    ],
)
def test_a_setting_written_as_an_option_is_answered(refused, arguments, expected):
    assert expected in " ".join(refused(*arguments.split()).split())
