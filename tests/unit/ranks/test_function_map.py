"""The map of adapters of fixed ranks, by hand: sums by type, what is worth most, and JSON that gives the ranks."""

import json
from pathlib import Path

import pytest

from paring.adapters.fixed_ranks import stated_ranks
from paring.ranks.function_map import FunctionMap
from paring.ranks.places import places
from paring.ranks.reading import Module, Part

WORTH = {"m.layers.0.q": (0.01, 0.02, 1), "m.layers.1.q": (0.03, 0.0, 0), "m.layers.0.up": (0.4, 0.1, 5)}


@pytest.fixture
def found():
    where = places(WORTH)
    modules = (Module(path, where[path], 2, 2, worth, null, 10, rank) for path, (worth, null, rank) in WORTH.items())
    return FunctionMap(Path("run"), "lora", 640, Part(tuple(modules)))


def test_the_text(found):
    lines = found.as_text().splitlines()
    assert lines[0] == "lora: 3 modules, 6 ranks, 60 parameters; measured on 640 tokens"
    cells = [line.split() for line in lines]
    assert ["q", "2", "4", "1", "40", "0.0400", "0.0200", "2.00"] in cells
    assert ["up", "1", "2", "5", "20", "0.400", "0.100", "4.00"] in cells
    assert ["all", "3", "6", "6", "60", "0.440", "0.120", "3.67"] in cells
    at = cells.index(["m.layers.0.up", "2", "5", "0.400", "0.100", "4.00", "1.00"])
    assert cells[at + 1 :] == [["m.layers.0.q", "2", "1", "0.0100", "0.0200", "0.50", "0.07"]]


def test_need_lies_between_the_kl_and_its_ratio_to_the_null(found):
    need = {module.path: module.need for module in found.all.modules}
    assert need == pytest.approx({"m.layers.0.q": 0.1357209, "m.layers.1.q": 0.0, "m.layers.0.up": 1.856636})


def test_the_json_is_a_file_of_ranks(found, tmp_path):
    plain = json.loads(json.dumps(found.as_plain(), allow_nan=False))
    assert plain["modules"][2] == {
        "module": "m.layers.0.up",
        "stack": "m.layers",
        "layer": 0,
        "type": "up",
        "end": 2,
        "proposed": 5,
        "worth": 0.4,
        "null": 0.1,
        "need": pytest.approx(1.856636),
        "cost": 10,
    }
    assert plain["types"]["q"] == {"ranks": 4, "proposed": 1, "parameters": 40, "worth": 0.04, "null": 0.02}
    (tmp_path / "found.json").write_text(json.dumps(plain))
    proposed = {"m.layers.0.q": 1, "m.layers.1.q": 0, "m.layers.0.up": 5}
    assert stated_ranks(str(tmp_path / "found.json")) == {"*": 0} | proposed
