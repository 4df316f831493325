"""Curves: what a point is the mean of, by hand."""

import json

import pytest

from paring.reporting.gathering import gather
from paring.reporting.series import MOST_CURVES, figures_of, last_tenth
from paring.runtime.glossary import METRICS


def write_metric(folder, metric, values):
    rows = [{"step": step, metric: value} for step, value in enumerate(values, start=1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def two_runs(make_run, tmp_path):
    """Rewards of two seeds of one arm, the second three steps shorter."""
    first = write_metric(make_run(tmp_path / "a", seed=0), "reward", [1.0, 3.0, 5.0, 7.0, 9.0])
    second = write_metric(make_run(tmp_path / "b", seed=1), "reward", [3.0, 5.0])
    return gather([first, second])


def test_a_point_is_the_mean_over_runs_of_their_means_over_its_steps(two_runs):
    (figure,) = figures_of(two_runs, points=3)
    (curve,) = figure.panels[""]
    assert (figure.metric, figure.meaning, figure.steps_a_point) == ("reward", METRICS["reward"], 2)
    # Steps 1 and 2: means 2 and 4; steps 3 and 4, and step 5, of the first run alone.
    assert [(point.mean, point.low, point.high, point.runs) for point in curve.points] == [
        (3.0, 2.0, 4.0, 2),
        (6.0, 6.0, 6.0, 1),
        (9.0, 9.0, 9.0, 1),
    ]
    assert [point.step for point in curve.points] == [1.5, 3.5, 5.5]
    assert curve.runs == 2 and curve.thins_out


def test_with_room_for_them_every_step_is_a_point(two_runs):
    (figure,) = figures_of(two_runs, points=5)
    assert figure.steps_a_point == 1
    assert [point.step for point in figure.panels[""][0].points] == [1, 2, 3, 4, 5]


def test_the_last_tenth_is_of_the_steps_that_were_made(make_run, tmp_path):
    run = write_metric(make_run(tmp_path / "a"), "reward", [float(step) for step in range(1, 21)])
    runs = gather([run]).runs
    assert last_tenth(runs, "reward") == 19.5 and last_tenth(runs, "kl") is None


def test_a_metric_that_never_moves_has_one_value(make_run, tmp_path):
    figures = {figure.metric: figure for figure in figures_of(gather([make_run(tmp_path / "a")]), points=9)}
    assert figures["clip_fraction"].constant == 0.0 and figures["reward"].constant is None


@pytest.mark.parametrize(("ages", "shown"), [([0, 0, 0], []), ([0, 1, 1], ["staleness"])])
def test_the_age_of_the_policy_that_sampled_is_shown_where_it_is_older(make_run, tmp_path, ages, shown):
    run = write_metric(make_run(tmp_path / "a"), "staleness", ages)
    assert [figure.metric for figure in figures_of(gather([run]), points=9)] == shown


def test_the_loss_is_shown_of_supervised_runs_only(make_run, tmp_path):
    sft = make_run(tmp_path / "sft", method="sft")
    rl = make_run(tmp_path / "rl")
    (figure,) = [figure for figure in figures_of(gather([sft, rl]), points=9) if figure.metric == "loss"]
    assert len(figure.curves) == 1


def test_one_arm_far_above_the_others_makes_the_scale_of_kl_logarithmic(make_run, tmp_path):
    small = write_metric(make_run(tmp_path / "a"), "kl", [0.1] * 9)
    large = write_metric(make_run(tmp_path / "b", optimiser={"lr": 1.0}), "kl", [0.1] * 8 + [10.0])
    assert not figures_of(gather([small]), points=9)[0].logarithmic
    assert figures_of(gather([small, large]), points=9)[0].logarithmic


def test_no_more_curves_than_can_be_told_apart(make_run, tmp_path):
    runs = [make_run(tmp_path / str(number), steps=3, optimiser={"lr": 1.0 + number}) for number in range(30)]
    assert {len(figure.curves) for figure in figures_of(gather(runs), points=9)} == {MOST_CURVES}
