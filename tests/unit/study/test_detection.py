"""`paring study --power`: by the spread of runs that have ended, made by hand."""

import json

import pytest

from paring.maths.power import detectable, margin_shown
from paring.study.course import Course
from paring.study.declaration import load_study
from paring.study.detection import power_table
from paring.study.study_folder import StudyFolder

STUDY = """
recipe = "quickstart"
seeds = [0, 1, 2]
[arms]
rgra.objective.kind = "rgra"
grpo.objective.kind = "grpo"
[contrasts]
clip = { more = ["grpo"], less = ["rgra"], margin = 5 }
"""


@pytest.fixture
def course(tmp_path):
    (tmp_path / "mine.toml").write_text(STUDY)
    return Course(load_study(tmp_path / "mine.toml"), StudyFolder(tmp_path / "mine"))


def end(course, planned, accuracy):
    ends = {"accuracy": accuracy, "seconds": 1.0, "problems": 500}
    folder = course.folder.run(planned)
    folder.path.mkdir(parents=True)
    folder.result.write_text(json.dumps({"before": ends, "after": ends, "training_seconds": 1.0}))


def test_the_spread_of_what_has_ended_says_what_is_seen(course):
    # Spreads of 2 points and of nothing, which is the resolution: 0.2 points.
    for planned, accuracy in zip(course.final, (0.7, 0.9, 0.72, 0.9, 0.74, 0.9), strict=True):
        end(course, planned, accuracy)
    spread = ((0.02**2 + 0.002**2) / 2) ** 0.5
    lines = power_table(course).splitlines()
    assert lines[0] == "spread over seeds: 1.4 points (2 arms, 0.2 to 2.0)"
    row = next(line for line in lines if line.startswith("3 (this design)")).split()
    values = detectable(spread, 3), detectable(spread, 3, level=0.025), margin_shown(spread, 3)
    assert row[-3:] == [f"{100 * value:.1f}" for value in values]
    assert "the first of 2 (Holm)" in lines[2]


def test_without_finished_runs_a_pilot_is_asked_for(course):
    end(course, course.final[0], 0.7)
    with pytest.raises(ValueError, match="no arm has two finished runs.*a pilot of it with two seeds"):
        power_table(course)
