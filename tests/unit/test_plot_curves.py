"""Figures: the right numbers are drawn, the same runs give the same file."""

import importlib.util
import json
from pathlib import Path

import pytest

from paring.runtime.glossary import UnknownMetric

pytest.importorskip("matplotlib")
TOOL = Path(__file__).parents[2] / "tools" / "plot_curves.py"


@pytest.fixture(scope="module")
def plots():
    spec = importlib.util.spec_from_file_location("plot_curves", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(tmp_path):
    rows = [{"step": step, "reward": reward} for step, reward in enumerate([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], start=1)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_the_thick_line_is_the_mean_of_the_last_five_steps(plots):
    assert plots._running_mean([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]) == [0.0, 0.5, 1.0, 1.5, 2.0, 3.0]


def test_a_name_stands_once_in_the_legend_and_each_run_has_two_lines(plots, run, tmp_path):
    plots.curves({"arm <b>": [run, run]}, "reward", tmp_path / "a.svg", title="two runs")
    picture = (tmp_path / "a.svg").read_text()
    assert picture.count("<!-- arm &lt;b&gt; -->") == 1
    assert picture.count("stroke: #1f77b4") >= 4


def test_the_same_runs_give_the_same_file(plots, run, tmp_path):
    for name in ("a.svg", "b.svg"):
        plots.curves({"arm": [run]}, "reward", tmp_path / name, title="same")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_metric_that_is_not_there_is_named(plots, run, tmp_path):
    with pytest.raises(ValueError, match="has no kl"):
        plots.curves({"arm": [run]}, "kl", tmp_path / "a.svg", title="")
    with pytest.raises(UnknownMetric, match="reward"):
        plots.curves({"arm": [run]}, "rewrd", tmp_path / "a.svg", title="")
