"""Means and intervals of arms, by hand."""

import json

import pytest

from paring.maths.estimates import wilson_interval
from paring.reporting.contests import Measure, contests_of
from paring.reporting.gathering import gather


def test_the_mean_over_seeds_with_students_interval(make_study, tmp_path):
    # 0.7, 0.75, 0.8: mean 0.75, s = 0.05, t_2 = 4.302653, so 0.75 -+ 4.302653 * 0.05 / sqrt(3).
    (contest,) = contests_of(gather([make_study(tmp_path / "study", {"rgra": [28, 30, 32]})]))
    (standing,) = contest.standings
    assert standing.mean == pytest.approx(0.75)
    assert standing.interval == pytest.approx((0.75 - 0.124207, 0.75 + 0.124207), abs=1e-6)
    assert standing.values == {0: 0.7, 1: 0.75, 2: 0.8} and standing.before == pytest.approx(0.3)
    assert contest.measure.name == "Accuracy on arithmetic (test split, 40 problems, greedy)"
    assert (contest.measure.value(0.75), contest.measure.interval((0.1, 0.25))) == ("75.0 %", "[10.0, 25.0]")


def test_changes_have_a_sign():
    share, loss = Measure("accuracy", True), Measure("loss", False)
    assert (share.change(0.125), share.change(-0.0), loss.change(-0.5)) == (
        "+12.5 points",
        "+0.0 points",
        "-0.5000 nats a token",
    )
    assert (share.changes((-0.7, 1.0)), loss.changes((-1.7, -0.0))) == ("[-70.0, +100.0]", "[-1.7000, +0.0000]")


def test_an_accuracy_stays_below_1_and_above_0(make_study, tmp_path):
    contests = contests_of(gather([make_study(tmp_path / "study", {"rgra": [40, 36], "raft": [0, 4]})]))
    first, second = contests[0].standings
    assert first.interval[1] == 1.0 and second.interval[0] == 0.0


def test_a_single_run_has_the_interval_over_its_problems(make_run, tmp_path):
    folder = make_run(tmp_path / "run", right=30)
    (contest,) = contests_of(gather([folder]))
    assert contest.standings[0].interval == pytest.approx(wilson_interval(30, 40))
    result = json.loads((folder / "result.json").read_text())
    del result["after"]["interval"]
    (folder / "result.json").write_text(json.dumps(result))
    (contest,) = contests_of(gather([folder]))
    assert contest.standings[0].interval == pytest.approx(wilson_interval(30, 40))


def test_only_what_was_measured_alike_is_compared(make_run, tmp_path):
    hard = make_run(tmp_path / "hard", task={"terms": 5})
    easy = make_run(tmp_path / "easy", task={"terms": 3})
    other = make_run(tmp_path / "other", task={"terms": 3}, optimiser={"lr": 1.0})
    names = {contest.measure.name: len(contest.standings) for contest in contests_of(gather([hard, easy, other]))}
    base = "Accuracy on arithmetic (test split, 40 problems, greedy)"
    assert names == {f"{base}, terms 5": 1, f"{base}, terms 3": 2}


def test_runs_without_a_result_are_in_no_mean(make_run, tmp_path):
    runs = [make_run(tmp_path / "a", seed=0, right=30), make_run(tmp_path / "b", seed=1, done=3)]
    (contest,) = contests_of(gather(runs))
    assert contest.standings[0].values == {0: 0.75}


def test_a_supervised_run_has_a_loss_and_lower_is_better(make_run, tmp_path):
    folder = make_run(tmp_path / "run", method="sft")
    loss = {"examples": 7, "tokens": 30, "loss": 0.25, "perplexity": 1.284, "seconds": 0.1}
    values = {"method": "sft", "before": loss | {"loss": 0.5}, "after": loss}
    (folder / "result.json").write_text(json.dumps(values))
    (contest,) = contests_of(gather([folder]))
    (standing,) = contest.standings
    assert contest.measure.name == "Held-out loss in nats a token, 7 examples"
    assert (standing.mean, standing.before, standing.interval) == (0.25, 0.5, None)
    assert contest.measure.better(-0.25) and contest.measure.change(-0.25) == "-0.2500 nats a token"


def test_evaluations_of_a_wrong_form_are_no_result(make_run, tmp_path):
    folder = make_run(tmp_path / "run")
    for after in ({"accuracy": "all"}, {"accuracy": None}, [], "no"):
        (folder / "result.json").write_text(json.dumps({"after": after}))
        assert contests_of(gather([folder])) == []
