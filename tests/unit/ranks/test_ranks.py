"""The ranks of a run, in numbers worked out by hand, in words and in figures."""

import json
import sys
from xml.etree import ElementTree

import pytest

from paring.ranks.reading import Part, read_ranks
from paring.ranks.words import as_plain, as_text, event_words, several_in_a_layer

Q0, UP0, Q1, UP1 = (f"model.layers.{layer}.{part}" for layer in (0, 1) for part in ("self_attn.q_proj", "mlp.up_proj"))
COST = {Q0: 10, UP0: 30, Q1: 10, UP1: 30}
FIRST = {
    "step": 5,
    "ranks": {Q0: 1, UP0: 6, Q1: 3, UP1: 5},
    "unassigned": 1,
    "pruned": {Q0: 3, Q1: 1},
    "grown": {UP0: 2, UP1: 1},
    "worth": {Q0: [0.01], UP0: [0.1, 0.06, 0.04], Q1: [0.03, 0.01], UP1: [0.1]},
    "null": {Q0: 0.02, UP0: 0.1, Q1: 0.02, UP1: 0.04},
    "closed": {Q0: 2},
    "cost": COST,
    "growth": True,
    "kl": 0.0,
}
SECOND = FIRST | {
    "step": 10,
    "ranks": {Q0: 0, UP0: 6, Q1: 3, UP1: 5},
    "unassigned": 2,
    "pruned": {Q0: 1},
    "grown": {},
    "worth": {UP0: [0.2, 0.1], Q1: [0.05], UP1: [0.1]},
    "null": {UP0: 0.1, Q1: 0.02, UP1: 0.05},
    "closed": {},
    "growth": False,
    "kl": 0.00025,
}
HOSTILE = "\x1b[2J\u202e$\\frac<b>--&\n\t\x00"


@pytest.fixture
def write(tmp_path):
    """Writes the folder of a run."""

    def make(*rows, kind="l1ra", budget="ranks", rank=4, more=""):
        (tmp_path / "run.toml").write_text(
            f'steps = 20\n[adapter]\nkind = "{kind}"\nrank = {rank}\nbudget = "{budget}"\n{more}'
        )
        (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 12}\n')
        (tmp_path / "ranks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return tmp_path

    return make


@pytest.fixture
def ranks(write):
    return read_ranks(write(FIRST, SECOND))


def uniform(paths, *, rank=4):
    """An event at which nothing moved."""
    values = {name: dict.fromkeys(paths, value) for name, value in (("ranks", rank), ("cost", 2), ("worth", [1.0]))}
    return FIRST | values | {"pruned": {}, "grown": {}, "closed": {}, "null": {}, "unassigned": 0}


def sums(part: Part):
    return part.start, part.end, part.change, part.mean, part.low, part.high


def test_sums_by_type_by_layer_and_of_all(ranks):
    assert {label: sums(part) for label, part in ranks.types.items()} == {
        "q_proj": (8, 3, -5, 1.5, 0, 3),
        "up_proj": (8, 11, 3, 5.5, 5, 6),
    }
    assert {layer: sums(part) for layer, part in ranks.all.layers.items()} == {
        0: (8, 6, -2, 3.0, 0, 6),
        1: (8, 8, 0, 4.0, 3, 5),
    }
    assert sums(ranks.all) == (16, 14, -2, 3.5, 0, 6)
    # 4 ranks of 10 + 30 + 10 + 30 parameters; then 6 of 30, 3 of 10, 5 of 30.
    assert (ranks.all.parameters_at_start, ranks.all.parameters) == (320, 360)


def test_the_map_is_the_sum_of_what_is_known(ranks):
    assert (ranks.types["q_proj"].worth, ranks.types["q_proj"].null) == (0.05, 0.02)
    assert ranks.types["up_proj"].worth == pytest.approx(0.4) and ranks.types["up_proj"].null == pytest.approx(0.15)


def test_a_record_of_before_the_map_was_measured(write):
    old = {name: value for name, value in FIRST.items() if name not in ("worth", "null", "closed")}
    ranks = read_ranks(write(old | {"importance": {Q0: 0.1}}))
    assert ranks.all.worth is None and ranks.all.end == 15
    assert ["all", "4", "16", "15", "-1", "3.75", "1-6", "370", "+15.6", "%", "-", "-", "-"] in [
        line.split() for line in as_text(ranks).splitlines()
    ]


def test_each_event_in_words(ranks):
    assert [event_words(ranks, number) for number in (0, 1)] == [
        "step 5: 4 components removed from 2 modules, 2 by their gates; 3 ranks given to 2 modules (up_proj 3), "
        "1 unassigned; KL 0",
        "step 10: 1 component removed from 1 module; none can be given, 2 unassigned; KL 0.00025",
    ]


def test_words_where_little_is_to_say(write):
    ranks = read_ranks(write(uniform([Q0]) | {"kl": None}))
    assert event_words(ranks, 0) == "step 5: nothing pruned; none given, 0 unassigned; no KL"


def test_a_budget_in_parameters(write):
    # 3 + 1 ranks of 10 were pruned; 1 of 30 was given, and 10 are left over.
    row = FIRST | {"ranks": {Q0: 1, UP0: 5, Q1: 3, UP1: 4}, "grown": {UP0: 1}, "unassigned": 10}
    ranks = read_ranks(write(row, budget="parameters"))
    assert ranks.counted(FIRST["pruned"]) == 40
    assert "1 rank given to 1 module (up_proj 1), 10 parameters unassigned;" in event_words(ranks, 0)


def test_the_text_says_it_all(ranks):
    lines = as_text(ranks).splitlines()
    assert lines[:3] == [
        "l1ra: 4 modules, start rank 4; 2 rank events at steps 5 to 10, budget in ranks",
        "ranks 16 -> 14 (-2), 2 unassigned; net of all events, modules gained 3 and lost 5",
        "parameters 320 -> 360 (+12.5 %)",
    ]
    cells = [line.split() for line in lines]
    assert ["q_proj", "2", "8", "3", "-5", "1.50", "0-3", "30", "-62.5", "%", "0.0500", "0.0200", "2.50"] in cells
    assert ["all", "4", "16", "14", "-2", "3.50", "0-6", "360", "+12.5", "%", "0.450", "0.170", "2.65"] in cells
    assert ["0", "0", "6", "6", "-2"] in cells and ["1", "3", "5", "8", "0"] in cells
    at = cells.index([UP0, "4", "6", "+2", "0.300", "0.100", "3.00"])
    moved = [[UP1, "4", "5", "+1", "0.100", "0.0500", "2.00"], [Q0, "4", "0", "-4", "-", "-", "-"]]
    assert cells[at + 1 : at + 3] == moved
    at = cells.index([UP0, "6", "0.300", "0.100", "3.00", "1.00"])
    needed = [[UP1, "5", "0.100", "0.0500", "2.00", "0.53"], [Q1, "3", "0.0500", "0.0200", "2.50", "0.49"]]
    assert cells[at + 1 : at + 3] == needed


def test_thirds_of_the_layers(write):
    stack = read_ranks(write(uniform([f"m.{layer}.q" for layer in range(8)]))).all
    assert {name: part.end for name, part in stack.thirds.items()} == {
        "first third, layers 0 to 1": 8,
        "middle third, layers 2 to 5": 16,
        "last third, layers 6 to 7": 8,
    }
    assert Part(stack.modules[:5]).thirds == {}


def test_stacks_of_one_type_name_are_not_mixed(write):
    ranks = read_ranks(
        write(uniform(["model.text.layers.0.q", "model.vision.layers.0.q", "model.vision.layers.0.k", "head"]))
    )
    assert list(ranks.types) == ["text: q", "vision: q", "k", "head"]
    shown = as_text(ranks)
    assert (
        "final ranks by layer, model.text.layers\n" in shown and "final ranks by layer, model.vision.layers\n" in shown
    )
    assert (
        "final ranks outside the layers\nlayer  head  sum  change\n------------------------\n-         4    4       0"
        in shown
    )


def test_the_mean_of_experts_is_said_to_be_one(write):
    ranks = read_ranks(write(uniform([f"m.0.experts.{expert}.up" for expert in range(3)])))
    assert several_in_a_layer(ranks.all) == ["up is the mean of 3"]
    assert "final ranks by layer, m; up is the mean of 3\n" in as_text(ranks)


def test_json_holds_every_module_sum_and_event(ranks):
    plain = json.loads(json.dumps(as_plain(ranks), allow_nan=False))
    assert (plain["kind"], plain["budget"], plain["start_rank"], plain["step"], plain["unassigned"]) == (
        "l1ra",
        "ranks",
        4,
        12,
        2,
    )
    assert plain["modules"][0] == {
        "module": Q0,
        "stack": "model.layers",
        "layer": 0,
        "type": "q_proj",
        "start": 4,
        "end": 0,
        "change": -4,
        "worth": None,
        "null": None,
        "need": 0.0,
        "cost": 10,
    }
    assert plain["types"]["up_proj"]["change"] == 3
    assert [(row["layer"], row["end"], row["mean_by_type"]) for row in plain["layers"]] == [
        (0, 6, {"q_proj": 0.0, "up_proj": 6.0}),
        (1, 8, {"q_proj": 3.0, "up_proj": 5.0}),
    ]
    second = plain["history"][1]
    assert (second["ranks"], second["parameters"], second["pruned"], second["growth"]) == (14, 360, {Q0: 1}, False)
    assert (second["unassigned"], second["kl"]) == (2, 0.00025)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (FIRST | {"ranks": FIRST["ranks"] | {Q0: -1}}, "event 1: ranks must give a count, 0 or more, by module"),
        (FIRST | {"pruned": 3}, "event 1: pruned must give a count"),
        (FIRST | {"growth": "yes"}, "event 1: growth is missing or of the wrong kind"),
        ({name: value for name, value in FIRST.items() if name != "kl"}, "event 1: kl is missing"),
        (FIRST | {"cost": {Q0: 1}}, "event 1: ranks and cost must name the same modules"),
        (FIRST | {"worth": [1.0]}, "event 1: worth, null, closed must be given by module"),
        (FIRST | {"ranks": {}, "cost": {}}, "event 1: ranks and cost must name the same modules, at least one"),
        (FIRST | {"pruned": {Q0: 2, Q1: 1}}, "step 5: .*q_proj' has rank 1, which does not follow from 4 before it"),
        (SECOND, "step 10: .*the file is not the whole record of this run"),
    ],
)
def test_a_record_that_cannot_be_is_refused(write, row, message):
    with pytest.raises(ValueError, match=message):
        read_ranks(write(row))


def test_ranks_brought_from_elsewhere_are_taken_from_the_record(write):
    ranks = read_ranks(write(SECOND, more='start = "folder"\n'))
    assert ranks.start_rank is None and [module.start for module in ranks.all.modules] == [1, 6, 3, 5]
    assert "4 modules, different start ranks; 1 rank event at step 10" in as_text(ranks)


def test_runs_that_have_nothing_to_show(write, tmp_path):
    with pytest.raises(ValueError, match=r"holds no run: there is no run\.toml in it"):
        read_ranks(tmp_path)
    with pytest.raises(ValueError, match=r"trains lora adapters of rank 4, .* runs with adapter.kind = 'l1ra' or"):
        read_ranks(write(kind="lora"))
    nothing_yet = r"is at step 12 of 20 and has had no rank event: all ranks are 4 still\. Come back when ranks\.jsonl"
    with pytest.raises(ValueError, match=nothing_yet):
        read_ranks(write())
    (tmp_path / "ranks.jsonl").unlink()
    with pytest.raises(ValueError, match=nothing_yet):
        read_ranks(tmp_path)


def test_a_line_torn_by_a_kill_is_left_out(write):
    folder = write(FIRST)
    with open(folder / "ranks.jsonl", "a") as file:
        file.write('{"step": 10, "ran')
    assert len(read_ranks(folder).events) == 1


def test_hostile_names_are_shown_escaped(write):
    shown = as_text(read_ranks(write(uniform([f"m{HOSTILE}.0.x.q{HOSTILE}", f"head{HOSTILE}"]))))
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert r"head\x1b[2J\u202e$\frac<b>--& \x00" in shown


def test_a_type_called_all_and_an_endless_name_keep_their_rows(write):
    shown = as_text(read_ranks(write(uniform(["m.0.all", "m.0." + "x" * 9999, "m.0." + "x" * 9998])))).splitlines()
    cells = [line.split()[:3] for line in shown]
    assert cells.count(["x" * 119 + "…", "1", "4"]) == 2
    assert ["all", "1", "4"] in cells and ["all", "3", "12"] in cells
    assert max(map(len, shown)) < 500


def test_figures_need_matplotlib_and_say_how_to_get_it(ranks, tmp_path, monkeypatch):
    from paring.ranks.rank_figures import write_figures

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "paring\[figures\]"'):
        write_figures(ranks, tmp_path / "figures", png=False)
    assert not (tmp_path / "figures").exists()


class TestFigures:
    @pytest.fixture(autouse=True)
    def matplotlib(self):
        return pytest.importorskip("matplotlib")

    def figures(self, ranks, to, png=False):
        from paring.ranks.rank_figures import write_figures

        return {path.name: path.read_bytes() for path in write_figures(ranks, to, png=png)}

    def test_the_same_run_gives_the_same_bytes(self, ranks, tmp_path):
        first, second = (self.figures(ranks, tmp_path / name, png=True) for name in "ab")
        assert list(first) == ["ranks-map.svg", "ranks-map.png", "ranks-flow.svg", "ranks-flow.png"]
        assert first == second
        assert first["ranks-map.png"].startswith(b"\x89PNG")

    def test_what_is_drawn_is_what_was_counted(self, ranks, tmp_path):
        drawn = {name: content.decode() for name, content in self.figures(ranks, tmp_path / "figures").items()}
        for text in ("start rank 4 everywhere", "sum 16 at the start, 14 now", "rank (start 4)", "5.5"):
            assert text in drawn["ranks-map.svg"]
        for text in ("q_proj  3 (−62 %)", "up_proj  11 (+38 %)", "unassigned  2", "none can be given", "nats a token"):
            assert text in drawn["ranks-flow.svg"]

    def test_areas_count_in_the_unit_of_the_budget(self, ranks, write):
        from paring.ranks.flow import _areas

        assert _areas(ranks) == {"q_proj": [8, 4, 3], "up_proj": [8, 11, 11], None: [0, 1, 2]}
        in_parameters = read_ranks(write(FIRST, SECOND, budget="parameters"))
        assert _areas(in_parameters) == {"q_proj": [80, 40, 30], "up_proj": [240, 330, 330], None: [0, 1, 2]}

    def test_the_colour_of_a_cell_is_its_change(self, ranks):
        from paring.ranks.heat_map import rank_map

        panel = rank_map(ranks, 7.0).axes[0]
        colours = {(round(box.get_x() + 0.5), round(box.get_y() + 0.5)): box.get_facecolor() for box in panel.patches}
        red, _, blue, _ = colours[0, 0]  # q_proj of layer 0: 4 -> 0, violet
        assert blue > red
        red, _, blue, _ = colours[0, 1]  # up_proj of layer 0: 4 -> 6, orange
        assert red > blue
        assert {text.get_text().strip() for text in panel.texts} == {"0", "3", "6", "5", "1.5", "5.5", "mean"}

    def test_numbers_are_left_out_where_they_do_not_fit(self, write):
        from paring.ranks.heat_map import rank_map

        wide = read_ranks(write(uniform([f"m.{layer}.q" for layer in range(200)])))
        assert [text.get_text().strip() for text in rank_map(wide, 7.0).axes[0].texts] == ["4.0", "mean"]

    @pytest.mark.filterwarnings("ignore:Glyph")
    def test_hostile_names_and_many_stacks_give_valid_xml(self, write, tmp_path):
        paths = [f"m{HOSTILE}.0.x.q{HOSTILE}", f"n.{HOSTILE}.1.q{HOSTILE}", f"head{HOSTILE}"]
        for content in self.figures(read_ranks(write(uniform(paths) | {"kl": None})), tmp_path / "figures").values():
            assert ElementTree.fromstring(content).tag.endswith("svg")
            assert b"\x1b" not in content and b"\x00" not in content and "\u202e".encode() not in content

    def test_a_folder_that_cannot_be_written_is_named(self, ranks, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(ValueError, match="file cannot be written: .*Choose another with --figures"):
            self.figures(ranks, tmp_path / "file")
