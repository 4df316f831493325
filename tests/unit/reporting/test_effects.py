"""What single settings do: which arms pair, and the numbers by hand."""

import shutil

import pytest

from paring.maths.estimates import holm, t_beyond
from paring.reporting.findings import as_lines, find
from paring.reporting.result_passages import effect_table


def report_on(*folders):
    return find(folders)


@pytest.fixture
def grid(make_run, tmp_path):
    """Two objectives, with and without std, seeds 0 to 2: std off has 4, 6, 8 more right of one, -1, 1, 3 of the
    other, of 40 problems."""
    rights = {
        ("rgra", True): [20, 20, 20],
        ("rgra", False): [24, 26, 28],
        ("grpo", True): [30, 30, 30],
        ("grpo", False): [29, 31, 33],
    }
    return [
        make_run(tmp_path / f"{kind}-{std}-{seed}", seed=seed, right=right, objective={"kind": kind, "std": std})
        for (kind, std), by_seed in rights.items()
        for seed, right in enumerate(by_seed)
    ]


def test_pairs_that_differ_in_one_setting_are_pooled_by_hand(grid):
    """Means 20, 26, 30, 31 of 40; spreads 0, 2, 0, 2, where 0 is one problem at least. Each mean weighs 1/2: the
    variance is (1 + 4 + 1 + 4) / 4 / 3 = 10/12, and Welch's degrees are 100 / ((1 + 16 + 1 + 16) / 2) = 5.9, rounded
    down."""
    report = report_on(*grid)
    (effect,) = report.effects
    assert (effect.key, effect.values, len(effect.pairs), effect.runs) == (
        "objective.std",
        ("true", "false"),
        2,
        12,
    )
    assert effect.difference.mean == pytest.approx(3.5 / 40)
    assert effect.difference.p == pytest.approx(t_beyond(3.5 / (10 / 12) ** 0.5, 5))
    # One family with the six comparisons of the four arms.
    assert len(report.contrasts) == 6
    family = [contrast.decisive.difference.p for contrast in report.contrasts] + [effect.difference.p]
    assert effect.adjusted == pytest.approx(holm(family)[-1])
    assert [effect.by_pair(pair).mean for pair in effect.pairs] == pytest.approx([6 / 40, 1 / 40])


def test_the_table_has_the_pool_and_each_pair(grid):
    report = report_on(*grid)
    table = effect_table(report.effects[0].measure, report.effects)
    assert [tuple(row[:2]) for row in table.rows] == [
        ("objective.std true -> false, 2 pairs", "+8.8"),
        ("rgra, std true -> rgra, std false", "+15.0"),
        ("grpo, std true -> grpo, std false", "+2.5"),
    ]
    told = as_lines(report.details)
    assert any(line.strip().startswith("objective.std true -> false: +8.8 points [") for line in told), told


def test_the_direction_is_one_whatever_the_order(grid):
    turned = grid[:6] + grid[9:] + grid[6:9]
    (effect,) = report_on(*turned).effects
    assert effect.values == ("true", "false") and effect.difference.mean == pytest.approx(3.5 / 40)


def test_settings_of_a_study_are_compared_across_its_contests(make_run, make_study, tmp_path):
    study = make_study(tmp_path / "study", {"rgra": [20, 21], "grpo": [30, 31]}, updates=(1, 4))
    for seed in (0, 1):
        folder = study / f"runs/arm-0/updates-4/seed-{seed}"
        shutil.rmtree(folder)
        make_run(folder, seed=seed, right=10 + seed, rollout={"updates": 4})
    (effect,) = report_on(study).effects
    assert (effect.key, effect.values) == ("rollout.updates", ("1", "4"))
    assert [effect.by_pair(pair).mean for pair in effect.pairs] == pytest.approx([-10 / 40, 0])
    table = effect_table(effect.measure, [effect])
    assert [row[0] for row in table.rows] == ["rollout.updates 1 -> 4, 2 pairs", "rgra", "grpo"]


def test_one_pair_that_stands_in_a_contest_is_left_to_the_comparisons(grid):
    assert report_on(*grid[:6]).effects == []


def test_arms_that_differ_in_more_or_in_kind_are_no_pairs(make_run, tmp_path):
    kinds = [
        make_run(tmp_path / f"{kind}-{seed}", seed=seed, objective={"kind": kind}, rollout={"updates": updates})
        for kind, updates in (("rgra", 1), ("grpo", 1), ("gpg", 1), ("raft", 4))
        for seed in (0, 1)
    ]
    assert report_on(*kinds).effects == []


def test_a_tuned_value_may_differ_beside_the_setting(make_run, make_study, tmp_path):
    study = make_study(tmp_path / "study", {"rgra": [20, 21]}, updates=(1, 4))
    other = make_study(tmp_path / "other", {"rgra": [20, 21], "grpo": [22, 23]}, updates=(1, 4))
    assert len(report_on(study).effects) == 0  # one arm: its settings are compared with each other as arms
    folder = other / "runs/arm-0/updates-4/seed-0"
    shutil.rmtree(folder)
    make_run(folder, seed=0, right=20, rollout={"updates": 4}, optimiser={"lr": 0.01})
    assert len(report_on(other).effects[0].pairs) == 2
