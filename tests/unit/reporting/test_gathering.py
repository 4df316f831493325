"""From folders to arms: what is one arm, what it is called, and what is refused."""

import json
import shutil

import pytest

from paring.reporting.gathering import gather


def names(gathered):
    return [arm.full_label for arm in gathered.arms]


def test_runs_that_differ_in_their_seed_are_one_arm_by_seed(make_run, tmp_path):
    gathered = gather([make_run(tmp_path / f"run-{seed}", seed=seed) for seed in (2, 0, 1)])
    assert names(gathered) == ["rgra"]
    assert [run.seed for run in gathered.arms[0].runs] == [0, 1, 2]


def test_arms_are_named_by_what_differs(make_run, tmp_path):
    runs = [
        make_run(tmp_path / "a", optimiser={"lr": 0.01}),
        make_run(tmp_path / "b", objective={"kind": "grpo", "clip_low": 0.2}),
        make_run(tmp_path / "c", adapter={"kind": "l1ra"}),
    ]
    # clip_low follows from the kind, and goes without saying.
    assert names(gather(runs)) == ["rgra, lora, lr 0.01", "grpo, lora, lr 0.001", "rgra, l1ra, lr 0.001"]


def test_a_name_that_says_too_much_gives_way_to_the_folder(make_run, tmp_path):
    runs = [make_run(tmp_path / "x" / name, model={"path": name * 80}) for name in ("a", "b")]
    assert names(gather(runs)) == ["x/a", "x/b"]


def test_the_same_seed_twice_counts_once_and_is_said(make_run, tmp_path):
    run = make_run(tmp_path / "run", done=3)
    copy = make_run(tmp_path / "finished")
    gathered = gather([run, run, copy])
    assert [found.folder for found in gathered.runs] == [copy]
    assert len(gathered.missing) == 1 and "repeats seed 0" in gathered.missing[0]


def test_a_study_is_its_arms_at_its_settings(make_study, tmp_path):
    folder = make_study(tmp_path / "study", {"rgra": [30, 31], "grpo": [32, 33]}, updates=(1, 4))
    shutil.rmtree(folder / "runs/arm-1/updates-4/seed-1")
    gathered = gather([folder])
    assert (gathered.title, gathered.question) == ("made up", "Which arm is best?")
    assert names(gathered) == [f"{arm} (rollout.updates = {updates})" for arm in ("rgra", "grpo") for updates in (1, 4)]
    assert len(gathered.runs) == 7 and gathered.missing == ("runs/arm-1/updates-4/seed-1 has not begun.",)
    assert gathered.tuned[0].key == "optimiser.lr" and gathered.tuned[0].scores == {"0.001": 0.9, "0.01": 0.5}


def test_of_one_arm_the_settings_are_compared(make_study, tmp_path):
    gathered = gather([make_study(tmp_path / "study", {"rgra": [30, 31]}, updates=(1, 4))])
    assert [(arm.label, arm.place) for arm in gathered.arms] == [
        ("rollout.updates = 1", ""),
        ("rollout.updates = 4", ""),
    ]


def test_a_study_beside_a_run_says_whose_arm_is_whose(make_study, make_run, tmp_path):
    gathered = gather([make_study(tmp_path / "study", {"rgra": [30]}), make_run(tmp_path / "run")])
    assert names(gathered) == ["made up: rgra", "rgra"]


def test_why_a_run_of_a_study_failed_is_said(make_study, tmp_path):
    folder = make_study(tmp_path / "study", {"rgra": [30, 31]})
    study = json.loads((folder / "study.json").read_text())
    study["runs"][1]["error"] = {"kind": "failed", "words": "the loss was not finite"}
    (folder / "study.json").write_text(json.dumps(study))
    shutil.rmtree(folder / study["runs"][1]["folder"])
    assert gather([folder]).missing == ("runs/arm-0/updates-1/seed-1 has not begun: the loss was not finite.",)


@pytest.mark.parametrize("record", ["{", "[]", "{}", '{"runs": 3}', '{"runs": [{"stage": "final", "arm": []}]}'])
def test_a_damaged_study_is_one_error(tmp_path, record):
    (tmp_path / "study.json").write_text(record)
    with pytest.raises(ValueError, match=r"study\.json: damaged, or not the record of a study"):
        gather([tmp_path])


def test_a_study_reads_nothing_outside_of_itself(make_study, make_run, tmp_path):
    make_run(tmp_path / "secret")
    folder = make_study(tmp_path / "study", {"rgra": [30]})
    study = json.loads((folder / "study.json").read_text())
    study["runs"][0]["folder"] = "../secret"
    (folder / "study.json").write_text(json.dumps(study))
    with pytest.raises(ValueError, match=r"'\.\./secret' lies outside the study"):
        gather([folder])


def test_what_is_neither_run_nor_study_is_refused(tmp_path, make_study):
    with pytest.raises(ValueError, match=r"holds neither a run \(run\.toml\) nor a study"):
        gather([tmp_path])
    folder = make_study(tmp_path / "study", {"rgra": [30]})
    shutil.rmtree(folder / "runs")
    with pytest.raises(ValueError, match="none of its runs has begun"):
        gather([folder])
