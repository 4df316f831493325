"""Tuning by Optuna: what it proposes depends on the accuracies alone, so a study goes on where it was."""

import json
from dataclasses import replace

import pytest

from paring.settings.complaints import RecipeError
from paring.study import runner
from paring.study.course import Course
from paring.study.declaration import load_study, resolved, to_toml
from paring.study.runner import conduct
from paring.study.tuning import Range, Search

pytest.importorskip("optuna")
SEARCH = Search(
    kind="optuna",
    search={"optimiser.lr": Range(low=1e-4, high=1e-2, log=True), "rollout.updates": (1, 2)},
    trials=3,
    seeds=(7,),
)


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch):
    monkeypatch.setattr(runner, "POLL_SECONDS", 0.0)


def test_proposals_follow_from_the_scores_alone():
    first = SEARCH.tried([])
    assert [trial.folder for trial in first] == ["trial-1"]
    scores = [0.5, None]
    tried = SEARCH.tried(scores)
    assert [trial.folder for trial in tried] == ["trial-1", "trial-2", "trial-3"]
    assert tried[0] == first[0] and SEARCH.tried(scores) == tried
    assert SEARCH.tried([0.5, None, 0.25]) == tried
    for trial in tried:
        assert 1e-4 <= trial.settings["optimiser.lr"] <= 1e-2 and trial.settings["rollout.updates"] in (1, 2)
    assert len({trial.settings["optimiser.lr"] for trial in tried}) == 3


def test_scores_lead_the_search():
    """The later ones of twenty trials on a curve with its top at 10 lie nearer to it than the first."""
    search = Search(kind="optuna", search={"adapter.rank": Range(low=1, high=64)}, trials=20)
    scores: list[float | None] = []
    while len(scores) < 20:
        scores.append(-abs(search.tried(scores)[-1].settings["adapter.rank"] - 10))
    assert sum(scores[10:]) > sum(scores[:10])


def test_the_best_trial_is_chosen_and_an_interrupted_study_goes_on(small_course, here, monkeypatch):
    accuracy = {1: 0.25, 2: 0.75, 3: 0.5}
    real = Course.result

    def result(self, planned):
        found = real(self, planned)
        if found and planned.stage == "tune":
            return replace(found, validation=accuracy[int(planned.folder.split("trial-")[1][0])])
        return found

    monkeypatch.setattr(Course, "result", result)
    course = small_course(tune=SEARCH, seeds=(5,))
    assert course.to_come() == 2 and len(course.runs) == 2
    jobs = here()
    assert conduct(course, jobs).exit_code == 0
    assert [folder.split("/runs/rgra/")[1] for folder in jobs.done] == [
        *(f"trial-{number}/seed-7" for number in (1, 2, 3)),
        "seed-5",
    ]
    record = json.loads(course.folder.record.read_text())
    [chosen] = record["chosen"]
    assert chosen["value"] == course.trials["rgra"][1].settings
    assert list(chosen["scores"].values()) == [0.25, 0.75, 0.5]
    [final] = [row for row in record["runs"] if row["stage"] == "final"]
    assert final["overrides"].items() >= chosen["value"].items()

    course.folder.run(course.final[0]).result.unlink()
    course.folder.run(course.tuning[2]).result.unlink()
    again, jobs = small_course(tune=SEARCH, seeds=(5,)), here()
    assert conduct(again, jobs, resume=True).exit_code == 0
    assert [folder.split("/runs/rgra/")[1] for folder in jobs.done] == ["trial-3/seed-7", "seed-5"]
    assert json.loads(course.folder.record.read_text()) == record


FILE = """recipe = "quickstart"
seeds = [0, 1]
[arms.rgra]
[tune]
kind = "optuna"
trials = 4
[tune.search]
optimiser.lr = { low = 1e-4, high = 1e-2, log = true }
"rollout.updates" = [1, 2]
"""


def test_a_file_is_read_and_written(tmp_path):
    path = tmp_path / "search.toml"
    path.write_text(FILE)
    study = load_study(path)
    assert study.tune == replace(SEARCH, trials=4, seeds=(1000,))
    path.write_text(to_toml(study))
    assert resolved(load_study(path)) == resolved(study)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("low = 1e-4", "low = 1.0", "low = 1.0 is not below high = 0.01"),
        ("low = 1e-4", "low = 0.0", "a logarithm needs a low above 0"),
        ('"optuna"', '"hyperband"', "tune.kind = 'hyperband': unknown"),
        ("trials = 4", "trials = 1", "tune.trials = 1: "),
        (
            "[arms.rgra]",
            "[axes]\nrollout.updates = [1, 2]\n[arms.rgra]",
            "tune.search.rollout.updates: it is one of the axes already",
        ),
    ],
)
def test_bad_searches_are_refused(tmp_path, old, new, words):
    path = tmp_path / "search.toml"
    path.write_text(FILE.replace(old, new))
    with pytest.raises(RecipeError) as error:
        load_study(path)
    assert words in str(error.value)
