"""Contrasts that a study declares are its only tests: by hand, corrected together, and in words."""

import json

import pytest

from paring.maths.estimates import holm
from paring.maths.seeds import weighed
from paring.reporting.findings import as_lines, find
from paring.reporting.report import write_report

RIGHT = {"rgra": [30, 31, 33], "grpo": [31, 30, 32], "raft": [9, 12, 14], "sft": [12, 11, 10]}
SHARES = {arm: [right / 40 for right in rights] for arm, rights in RIGHT.items()}


@pytest.fixture
def declare(make_study, tmp_path):
    """A study of four arms that declares these contrasts."""

    def made(**contrasts):
        folder = make_study(tmp_path / "study", RIGHT, updates=(1, 4))
        record = json.loads((folder / "study.json").read_text()) | {"contrasts": contrasts}
        (folder / "study.json").write_text(json.dumps(record))
        return folder

    return made


def test_pooled_groups_are_tested_at_each_setting_and_corrected_together(declare):
    found = find([declare(baseline={"more": ["rgra", "grpo"], "less": ["raft", "sft"]})])
    assert found.contrasts == [] and found.effects == []
    weights = (0.5, 0.5, -0.5, -0.5)
    by_hand = weighed(list(zip(weights, SHARES.values(), strict=True)), 40)
    assert [test.setting for test in found.declared] == ["rollout.updates = 1", "rollout.updates = 4"]
    assert [test.difference for test in found.declared] == [by_hand.difference] * 2
    assert [test.adjusted for test in found.declared] == pytest.approx(holm([by_hand.difference.p] * 2))


def test_a_contrast_may_hold_at_one_setting(declare):
    found = find([declare(one={"more": ["rgra"], "less": ["raft"], "at": {"rollout.updates": 4}})])
    assert [test.label for test in found.declared] == ["one (rollout.updates = 4)"]


def test_an_interaction_sums_its_halves(declare):
    found = find([declare(both={"more": ["rgra", "sft"], "less": ["grpo", "raft"], "interaction": True})]).declared[0]
    by_hand = sum(sum(SHARES[arm]) / 3 * sign for arm, sign in zip(RIGHT, (1, -1, -1, 1), strict=True))
    assert found.difference.mean == pytest.approx(by_hand)


@pytest.mark.parametrize(("interaction", "high"), [(True, 2.0), (False, 1.0)])
def test_an_interaction_may_be_of_200_points(make_study, tmp_path, interaction, high):
    """(a - b) - (c - d) with a and d at 100 % in one of two seeds: the interval reaches as far as each can be."""
    rights = {"a": [40, 36], "b": [0, 4], "c": [0, 3], "d": [40, 37]}
    folder = make_study(tmp_path / "study", rights)
    one = {"more": ["a", "d"], "less": ["b", "c"], "interaction": interaction}
    record = json.loads((folder / "study.json").read_text()) | {"contrasts": {"both": one}}
    (folder / "study.json").write_text(json.dumps(record))
    (found,) = find([folder]).declared
    assert found.weighed.difference.high > high - 0.05 and found.difference.high <= high
    assert found.difference.mean == pytest.approx((38 - 2 - 1.5 + 38.5) / 40 * high / 2)
    assert f"[{100 * found.difference.low:+.1f}, {100 * found.difference.high:+.1f}]" in found.words


def test_losses_without_spread_are_no_test(make_run, make_study, tmp_path):
    folder = make_study(tmp_path / "study", {"a": [30, 30], "b": [20, 20]})
    for result in folder.rglob("result.json"):
        result.write_text(json.dumps({"after": {"examples": 7, "loss": 0.5}}))
        (result.parent / "items.jsonl").unlink()
    record = json.loads((folder / "study.json").read_text()) | {"contrasts": {"x": {"more": ["a"], "less": ["b"]}}}
    (folder / "study.json").write_text(json.dumps(record))
    assert find([folder]).declared == []


def test_equivalence_is_in_the_family_and_said(declare, tmp_path):
    folder = declare(
        close={"more": ["rgra"], "less": ["grpo"], "margin": 15, "at": {"rollout.updates": 1}},
        far={"more": ["rgra"], "less": ["raft"], "at": {"rollout.updates": 1}},
    )
    found = find([folder])
    close, far = found.declared
    p_values = [close.difference.p, far.difference.p, close.weighed.equivalence(0.15)]
    assert [close.adjusted, far.adjusted, close.equivalent] == pytest.approx(holm(p_values))
    assert as_lines(found.answer)[0] == (
        "Beyond chance: far (rollout.updates = 1); shown to lie within 15.0 points: close (rollout.updates = 1)."
    )
    told = as_lines(found.details)
    assert told[0] == "Declared contrasts" and told[1].endswith("3 tests (Welch's, over seeds not paired; Holm).")
    assert told[2].startswith("  close (rollout.updates = 1): +0.8 points [") and told[2].endswith(
        ": shown to lie within 15.0 points."
    )
    assert told[3].endswith(": beyond chance.")
    assert not any("Not told apart" in line for line in told)
    summary = json.loads(write_report(found, tmp_path / "out").summary.read_text())
    assert [row["verdict"] for row in summary["declared"]] == ["shown to lie within 15.0 points", "beyond chance"]


def test_a_contrast_whose_arms_have_not_ended_waits(declare):
    found = find([declare(later={"more": ["rgra"], "less": ["missing"]})])
    assert as_lines(found.answer)[0].startswith("1 declared contrast, and none can be tested yet")
    assert as_lines(found.details)[:2] == [
        "Declared contrasts",
        "  None of them can be tested yet: each of its arms needs two finished seeds.",
    ]
