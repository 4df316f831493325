"""Conducting a study: what is chosen and recorded, and that failures and repetitions cost nothing else."""

import io
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console

from paring.runtime.lock import RunIsBusy, run_lock
from paring.study import child, runner
from paring.study.course import Course
from paring.study.declaration import Tune, load_study
from paring.study.display import StudyScreen
from paring.study.processes import local_jobs
from paring.study.runner import conduct
from paring.study.study_folder import StudyFolder


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch):
    monkeypatch.setattr(runner, "POLL_SECONDS", 0.0)


@pytest.fixture
def told():
    """A screen that is read as text."""
    return StudyScreen(Console(file=io.StringIO(), width=200))


def text_of(screen):
    return screen._console.file.getvalue()


def record_of(course):
    return json.loads(course.folder.record.read_text())


def test_a_study_is_done_in_order_and_recorded(small_course, here, told):
    course = small_course(arms={"rgra": {}, "grpo": {"objective.kind": "grpo"}}, axes={"rollout.updates": (1, 2)})
    jobs = here()
    outcome = conduct(course, jobs, screen=told)
    assert outcome.exit_code == 0
    folders = [f"runs/{arm}/updates-{updates}/seed-0" for arm in ("rgra", "grpo") for updates in (1, 2)]
    assert jobs.done == [str(course.folder.path / folder) for folder in folders]
    record = record_of(course)
    assert (record["name"], record["question"], record["arms"]) == ("small", "?", ["rgra", "grpo"])
    assert (record["axes"], record["seeds"]) == ({"rollout.updates": [1, 2]}, [0])
    assert (record["tune"], record["chosen"]) == (None, [])
    assert [row["folder"] for row in record["runs"]] == folders
    assert all(row["error"] is None and row["stage"] == "final" for row in record["runs"])
    assert all((course.folder.path / folder / "items.jsonl").is_file() for folder in folders)
    assert "grpo/updates-2/seed-0: accuracy " in text_of(told) and "4 of 4 runs finished, 0 running" in text_of(told)
    assert str(outcome).splitlines()[2].startswith("rgra updates=1  accuracy ")
    assert load_study(course.folder.path).arms == course.study.arms


def test_the_value_with_the_best_validation_accuracy_is_chosen(small_course, here, told, monkeypatch):
    course = small_course(tune=Tune(values=(1e-3, 2e-3, 3e-3), seeds=(0, 1)), seeds=(5,))
    accuracy = {(1e-3, 0): 0.25, (1e-3, 1): 0.5, (2e-3, 0): 1.0, (2e-3, 1): 0.0, (3e-3, 0): 0.5, (3e-3, 1): 0.5}
    real = Course.result

    def result(self, planned):
        found = real(self, planned)
        if found and planned.stage == "tune":
            return replace(found, validation=accuracy[planned.run.optimiser.lr, planned.seed])
        return found

    monkeypatch.setattr(Course, "result", result)
    conduct(course, here(), screen=told)
    # Means 0.375, 0.5 and 0.5: of equal ones the first.
    [chosen] = record_of(course)["chosen"]
    assert chosen == {
        "arm": "rgra",
        "setting": {},
        "value": 2e-3,
        "scores": {"0.001": 0.375, "0.002": 0.5, "0.003": 0.5},
    }
    [final] = [row for row in record_of(course)["runs"] if row["stage"] == "final"]
    assert (final["overrides"]["optimiser.lr"], final["seed"]) == (2e-3, 5)
    assert "rgra: chose optimiser.lr = 0.002" in text_of(told)
    assert course.folder.run(course.final[0]).read_result()["validation"] is None


def test_what_is_done_is_not_done_again(small_course, here, told):
    course = small_course(seeds=(0, 1))
    conduct(course, here(), screen=told)
    second = course.folder.run(course.final[1])
    second.result.unlink()
    kept = course.folder.run(course.final[0]).result.stat().st_mtime_ns
    jobs = here()
    assert conduct(small_course(seeds=(0, 1)), jobs, resume=True, screen=told).exit_code == 0
    assert jobs.done == [str(second.path)]
    assert course.folder.run(course.final[0]).result.stat().st_mtime_ns == kept


def test_a_choice_is_kept_though_the_tuning_runs_are_gone(small_course, here, told):
    import shutil

    tune = Tune(values=(1e-3, 3e-3))
    course = small_course(tune=tune)
    conduct(course, here(), screen=told)
    chosen = record_of(course)["chosen"]
    for planned in course.tuning:
        shutil.rmtree(course.folder.run(planned).path)
    again = small_course(tune=tune)
    again.recall()
    assert again.choose() == [] and [choice.value for choice in again.chosen.values()] == [chosen[0]["value"]]


def test_a_broken_run_stops_no_other_and_is_tried_again(small_course, here, told, tmp_path):
    arms = {"bad": {"model.path": str(tmp_path / "nothing")}, "good": {}}
    course = small_course(arms=arms)
    outcome = conduct(course, here(), screen=told)
    assert outcome.exit_code == 1
    bad, good = record_of(course)["runs"]
    assert good["error"] is None and course.folder.run(course.final[1]).result.is_file()
    assert bad["error"]["kind"] == "broken" and "there is no such folder or file" in bad["error"]["words"]
    assert "mend what is broken, then go on with:" in str(outcome)
    jobs = here()
    conduct(small_course(arms=arms), jobs, resume=True, screen=told)
    assert jobs.done == [str(course.folder.path / bad["folder"])]


def test_a_run_that_failed_is_not_repeated_and_its_value_not_chosen(small_course, here, told, monkeypatch):
    from paring.settings.complaints import RunFailed
    from paring.training import rl

    real = rl.rl_step

    def step(run, *rest):
        if run.optimiser.lr == 3e-3:
            raise RunFailed("the loss was not finite")
        return real(run, *rest)

    monkeypatch.setattr(rl, "rl_step", step)
    tune = Tune(values=(3e-3, 1e-3))
    course = small_course(tune=tune)
    assert conduct(course, here(), screen=told).exit_code == 1
    record = record_of(course)
    assert record["runs"][0]["error"] == {"kind": "failed", "words": "the loss was not finite"}
    assert record["chosen"][0]["value"] == 1e-3 and record["chosen"][0]["scores"]["0.003"] is None
    assert course.folder.run(course.final[0]).result.is_file()
    jobs = here()
    assert conduct(small_course(tune=tune), jobs, resume=True, screen=told).exit_code == 1
    assert jobs.done == []


def test_where_no_value_is_left_the_final_runs_do_not_begin(small_course, here, told, tmp_path):
    course = small_course(tune=Tune(values=(1e-3,)), common={"model.path": str(tmp_path / "nothing")})
    jobs = here()
    assert conduct(course, jobs, screen=told).exit_code == 1
    assert len(jobs.done) == 1 and record_of(course)["chosen"] == []
    assert "rgra  no result" in str(runner.StudyEnd(course, 1))


def test_a_study_that_was_changed_is_refused_in_words(small_course, here, told):
    course = small_course()
    conduct(course, here(), screen=told)
    with pytest.raises(ValueError) as raised:
        conduct(small_course(seeds=(0, 1), common={"save.every": 1}), here(), resume=True, screen=told)
    lines = str(raised.value).splitlines()
    assert lines[0].endswith("the study is not the one that was begun:")
    assert lines[1:3] == ["  common.save.every: 2 -> 1", "  seeds: [0] -> [0, 1]"]
    assert lines[3].startswith("Resume it as it was (paring study ")


def test_a_folder_that_is_not_free_and_one_that_is_no_study(small_course, here, told):
    course = small_course()
    with pytest.raises(ValueError, match="holds no study to resume"):
        conduct(course, here(), resume=True, screen=told)
    conduct(course, here(), screen=told)
    with pytest.raises(ValueError, match="already holds a study: go on with it by  paring study .* --resume"):
        conduct(small_course(), here(), screen=told)


def test_two_processes_cannot_conduct_one_study(small_course, here, told):
    course = small_course()
    conduct(course, here(), screen=told)
    with run_lock(course.folder.path), pytest.raises(RunIsBusy):
        conduct(small_course(), here(), resume=True, screen=told)


def test_an_interrupted_study_says_how_to_go_on(small_course, here, told):
    import os
    import signal

    jobs, course = here(), small_course(seeds=(0, 1))
    begin = jobs.start
    jobs.start = lambda recipe, folder: (begin(recipe, folder), os.kill(os.getpid(), signal.SIGINT))
    outcome = conduct(course, jobs, screen=told)
    assert outcome.exit_code == 130 and len(jobs.done) == 1
    assert (
        str(outcome).splitlines()[-1]
        == f"interrupted, and saved; go on with:  paring study {course.folder.path} --resume"
    )


def test_jobs_and_threads_take_no_more_than_the_cpus(small_run):
    one, any_number, five = (small_run({"threads": threads}) for threads in (1, 0, 5))
    assert (local_jobs(2, [any_number, one], cpus=8).threads, local_jobs(8, [one], cpus=8).threads) == (4, 1)
    with pytest.raises(ValueError, match="--jobs 9: this process may use 8 CPUs: give 8 at most"):
        local_jobs(9, [one], cpus=8)
    with pytest.raises(ValueError, match="threads = 5, and --jobs 2 leaves 4 of 8 CPUs each"):
        local_jobs(2, [one, five], cpus=8)


def test_processes_and_a_server_that_samples_ahead_take_cpus_of_their_own(small_run):
    alone, two = small_run({"threads": 0}), {"rollout.problems": 2}
    jobs = local_jobs(2, [small_run(two | {"threads": 0})], cpus=8, processes=2)
    assert (jobs.slots, jobs.processes, jobs.threads) == (2, 2, 2)
    with pytest.raises(
        ValueError, match="--jobs 5 of 2 processes at work each: this process may use 8 CPUs: give 4 at most"
    ):
        local_jobs(5, [small_run(two)], cpus=8, processes=2)
    own = {"rollout.engine": "served", "threads": 0}
    ahead = own | {"rollout.ahead": 1, "objective.kind": "grpo"}
    elsewhere = ahead | {"rollout.servers": ("http://one:8000",)}
    assert [local_jobs(2, [small_run(one)], cpus=8).threads for one in (own, ahead, elsewhere)] == [4, 2, 4]
    with pytest.raises(ValueError, match="give 4 at most"):
        local_jobs(5, [alone, small_run(ahead)], cpus=8)
    with pytest.raises(ValueError, match="with 2 processes and no servers"):
        local_jobs(1, [small_run(own | two)], cpus=8, processes=2)
    with pytest.raises(ValueError, match="3 processes for rollout.problems = 2"):
        local_jobs(1, [small_run(two)], cpus=8, processes=3)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [([0, 0], 0), ([0, None], None), ([-9, None], None), ([3, 1], 3), ([0, 1], 1), ([143, 143], 143), ([1, -9], 1)],
)
def test_the_processes_of_a_run_end_as_one(codes, expected):
    """Where one has failed, the others are let go."""
    processes = [SimpleNamespace(poll=lambda code=code: code, stdin=io.StringIO()) for code in codes]
    assert child.Children(processes).poll() == expected
    assert all(process.stdin.closed for process in processes) == any(codes)


def test_the_last_words_of_a_child(tmp_path):
    folder = tmp_path / "seed-0"
    assert child.last_words(folder) == "it printed nothing"
    child.log_of(folder).write_text("error: old\nstep 1\nerror: first\n  more\n")
    assert child.last_words(folder) == "first\n  more"
    child.log_of(folder).write_text("Traceback\nKeyError: 'x'\n")
    assert child.last_words(folder) == "KeyError: 'x'"


def test_paths_of_studies_are_their_folders(tmp_path):
    folder = StudyFolder(tmp_path / "a b")
    assert folder.resume_command == f"paring study '{tmp_path / 'a b'}' --resume"
