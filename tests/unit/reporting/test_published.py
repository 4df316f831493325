"""The published studies by the rules of today, made again from their summaries: the cases that were once wrong."""

import importlib
import json
from pathlib import Path

import pytest

from paring.reporting.passages import as_markdown
from paring.reporting.sections import sections_of

ROOT = Path(__file__).parents[3]
PAGES = sorted((ROOT / "docs/studies").iterdir())


@pytest.fixture
def remade(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    bench = importlib.import_module("remake_reports")
    return lambda name: bench.remade(json.loads((ROOT / "docs/studies" / name / "summary.json").read_text()))


def test_copies_are_one_arm_and_all_tests_one_family(remade):
    """rgra-dynamics said "21 of 60 beyond chance": ten of the 60 compared the same runs, and each of three families of
    tests was corrected alone."""
    found = remade("rgra-dynamics")
    assert (len(found.contrasts), sum(one.decisive.beyond_chance for one in found.contrasts)) == (50, 17)
    assert not any({one.first.label, one.second.label} == {"rgra", "grpo"} for one in found.contrasts[:10])
    smallest = min(found.contrasts, key=lambda one: one.decisive.difference.p).decisive
    assert smallest.adjusted == pytest.approx(52 * smallest.difference.p)


def test_one_problem_in_each_of_five_seeds_is_not_certain(remade):
    """ "raft - sft -0.2 [-0.2, -0.2], Holm < 0.001" """
    found = [one for one in remade("rgra-dynamics").contrasts if {one.first.label, one.second.label} == {"raft", "sft"}]
    assert len(found) == 4
    for one in found[:2]:
        assert one.decisive.difference.low < one.decisive.difference.mean < one.decisive.difference.high
        assert one.decisive.difference.p > 0.05 and one.decisive.adjusted == 1.0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_published_figure_is_certain_or_impossible(page):
    """No p of 0, no interval without width, and none beyond what an accuracy or a difference of two can be."""
    summary = json.loads((page / "summary.json").read_text())
    for standing in (arm for block in summary["benchmarks"] for arm in block["arms"]):
        low, high = standing["interval"]
        assert 0 <= low < high <= 1, standing["arm"]
    tests = [one["decisive"] for one in summary["comparisons"]] + summary["effects"] + summary["declared"]
    assert tests and all(0 < test["p"] <= test["p_holm"] <= 1 for test in tests)
    most = 2 if any("interaction" in test.get("contrast", "") for test in tests) else 1
    assert all(-most <= test["interval"][0] < test["interval"][1] <= most for test in tests)


def test_a_page_says_that_other_problems_are_not_covered(remade):
    found = remade("clipping")
    page = as_markdown(found.gathered.title, found.gathered.question, sections_of(found))
    assert "on the same test problems; other problems are not covered" in page
