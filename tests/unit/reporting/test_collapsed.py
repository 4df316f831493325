"""Runs that ended far below their base are named, whatever their reward said."""

import json
from pathlib import Path

import pytest

from paring.reporting.findings import as_lines, find
from paring.reporting.runs import RunRecord

PUBLISHED = Path(__file__).parents[3] / "docs/studies/clipping/summary.json"


def ended(before, after, problems=500):
    plain = {"before": {"accuracy": before, "problems": problems}, "after": {"accuracy": after, "problems": problems}}
    return RunRecord(Path("run"), {}, (), plain, {}, ())


def test_the_four_dead_runs_of_clipping_are_named():
    """Their reward kept its share for form, so that no collapse was journalled: "None, in 24 runs"."""
    summary = json.loads(PUBLISHED.read_text())
    dead = [
        (arm["arm"], int(seed), value)
        for block in summary["benchmarks"]
        for arm in block["arms"]
        for seed, value in arm["by_seed"].items()
        if ended(arm["before"], value).collapse
    ]
    assert dead == [("rgra", 0, 0.014), ("rgra", 2, 0.012), ("ratio", 0, 0.012), ("ratio", 1, 0.006)]


@pytest.mark.parametrize(("before", "after", "problems"), [(0.156, 0.08, 500), (0.1, 0.0, 20), (0.0, 0.0, 500)])
def test_half_of_the_base_or_chance_is_no_collapse(before, after, problems):
    assert ended(before, after, problems).fell == "" and ended(before, after, problems).collapse is None


def test_the_answer_says_it(make_run, tmp_path):
    found = find([make_run(tmp_path / "run", right=1)])
    assert as_lines(found.answer)[-1] == "Collapsed: rgra in 1 of 1 run."
    assert as_lines(found.details)[-1].endswith(
        "seed 0: collapse of the accuracy: 2.5 % on the test problems after training, less than 50% of the 30.0 % "
        "before it"
    )
