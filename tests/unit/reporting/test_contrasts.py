"""The tests between arms: which test is taken, against numbers by hand and SciPy's, and the correction for many."""

import json

import pytest

from paring.reporting.contests import contests_of
from paring.reporting.contrasts import contrasts_of
from paring.reporting.findings import find
from paring.reporting.gathering import gather


def contrasts(*folders):
    return contrasts_of(contests_of(gather(folders)))


def test_seeds_are_not_paired_by_hand(make_study, tmp_path):
    # Means 32/40 and 29/40, spreads 3/40 and 1/40: t = -3 / sqrt((9 + 1) / 3), and Welch's degrees are
    # 100 / (81/2 + 1/2) = 2.4, rounded down. With 2 degrees p = 1 - t / sqrt(t^2 + 2) and t^2 = 2.7.
    (found,) = contrasts(make_study(tmp_path / "study", {"rgra": [29, 32, 35], "grpo": [28, 29, 30]}))
    assert (found.first.label, found.second.label, found.decisive.name) == ("rgra", "grpo", "Welch over seeds")
    assert found.decisive.difference.mean == pytest.approx(-0.075)
    assert found.decisive.difference.p == pytest.approx(1 - (2.7 / 4.7) ** 0.5, abs=1e-9)
    assert found.decisive.counts == (3, 3) and not found.decisive.beyond_chance


def test_problems_are_paired_beside_the_seeds(make_study, tmp_path):
    # Problem n is right in the runs with more than n right answers: the arms differ in problems 28 to 33.
    (found,) = contrasts(make_study(tmp_path / "study", {"rgra": [30, 34], "grpo": [28, 30]}))
    differences = [(right(n, 28, 30) - right(n, 30, 34)) / 2 for n in range(40)]
    assert found.items.counts == (40,) and found.items.name == "paired t over problems"
    assert found.items.difference.mean == pytest.approx(sum(differences) / 40)
    stats = pytest.importorskip("scipy.stats")
    assert found.items.difference.p == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=1e-9)


def right(problem, *rights):
    return sum(problem < count for count in rights)


def test_single_runs_are_paired_by_their_problems(make_run, tmp_path):
    first = make_run(tmp_path / "a", right=30)
    second = make_run(tmp_path / "b", right=24, objective={"kind": "grpo"})
    (found,) = contrasts(first, second)
    # The first alone has six problems right, the second alone none: p = 2 / 2^6.
    assert found.decisive.name == "McNemar over problems" and found.items is None
    assert found.decisive.difference.p == pytest.approx(2 / 2**6)
    assert found.decisive.difference.mean == pytest.approx(-0.15)


def test_without_items_shares_are_compared_unpaired(make_run, tmp_path):
    first = make_run(tmp_path / "a", right=30, items=False)
    second = make_run(tmp_path / "b", right=24, items=False, objective={"kind": "grpo"})
    (found,) = contrasts(first, second)
    # Pooled share 27/40, standard error sqrt(27/40 * 13/40 * 2/40) = 0.10473, z = 0.15 / 0.10473 = 1.4322.
    assert found.decisive.name == "unpaired shares"
    assert found.decisive.difference.p == pytest.approx(0.15208, abs=1e-4)


def test_single_losses_have_no_test(make_run, tmp_path):
    runs = [make_run(tmp_path / name, optimiser={"lr": lr}) for name, lr in (("a", 0.1), ("b", 0.2))]
    for run, loss in zip(runs, (0.5, 0.6), strict=True):
        (run / "result.json").write_text(json.dumps({"after": {"examples": 7, "loss": loss}}))
        (run / "items.jsonl").unlink()
    assert contrasts(*runs) == []


def test_every_decisive_test_of_the_report_is_one_family(make_study, tmp_path):
    arms = {"rgra": [30, 32, 34], "grpo": [28, 29, 30], "raft": [10, 12, 17]}
    found = find([make_study(tmp_path / "study", arms, updates=(1, 4))])
    assert len(found.contrasts) == 6 and len(found.effects) == 1
    smallest = min(found.contrasts, key=lambda contrast: contrast.decisive.difference.p)
    assert smallest.decisive.adjusted == pytest.approx(min(1, 7 * smallest.decisive.difference.p))


def test_arms_of_the_same_runs_are_one_arm_of_the_family(make_study, tmp_path):
    """Like GRPO and RGRA at one update in rgra-dynamics, where 10 of 60 comparisons were copies."""
    found = find([make_study(tmp_path / "study", {"rgra": [30, 32, 34], "grpo": [30, 32, 34], "raft": [10, 12, 17]})])
    assert [(one.first.label, one.second.label) for one in found.contrasts] == [("rgra", "raft")]
    assert found.contrasts[0].decisive.adjusted == found.contrasts[0].decisive.difference.p
    (contest,) = found.contests
    assert [[copy.label for copy in contest.copies(one)] for one in contest.distinct] == [["grpo"], []]


def test_arms_of_the_same_results_by_another_way_are_two(make_study, tmp_path):
    study = make_study(tmp_path / "study", {"rgra": [40, 40], "grpo": [40, 40]})
    journal = study / "runs/arm-1/updates-1/seed-1/metrics.jsonl"
    journal.write_text(journal.read_text().replace('"reward": 0.', '"reward": 0.1'))
    (found,) = find([study]).contrasts
    assert found.decisive.identical and found.decisive.difference.p == 1.0
    assert found.decisive.difference.low < 0 < found.decisive.difference.high


def test_of_many_arms_each_is_compared_with_the_first(make_run, tmp_path):
    runs = [make_run(tmp_path / str(number), optimiser={"lr": 1.0 + number}) for number in range(13)]
    found = contrasts(*runs)
    assert len(found) == 12 and {contrast.first.label for contrast in found} == {"rgra, lr 1.0"}
