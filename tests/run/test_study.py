"""`paring study` with child processes: interrupted, orphaned and resumed, to the bytes of ordinary runs."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from paring.runtime.machine import all_cpus
from paring.study import child
from paring.study.processes import LocalJobs

SAME_BYTES = ("run.toml", "adapter/adapter_model.safetensors", "samples.jsonl", "items.jsonl")
SECONDS = 900
"""Far more than it takes on a machine that is not busy: a study waits for nothing but its runs."""


@pytest.fixture
def study_file(small_overrides, tmp_path):
    """A study of one run, which saves nothing before its end unless it is asked to."""
    common = "\n".join(text.replace("=", " = ") for text in [*small_overrides, "steps=40", "save.every=0"])
    common = common.replace("steps = 4\n", "").replace("save.every = 2\n", "")
    path = tmp_path / "tiny.toml"
    path.write_text(f'recipe = "quickstart"\nseeds = [0]\n[common]\n{common}\n[arms.rgra]\n')
    return path


def wait_for_steps(folder: Path, steps: int) -> None:
    until = time.monotonic() + SECONDS
    while not (folder / "metrics.jsonl").is_file() or (folder / "metrics.jsonl").read_bytes().count(b"\n") < steps:
        assert time.monotonic() < until, f"{folder} does not get on: {child.last_words(folder)}"
        time.sleep(0.02)


def wait_for_end(jobs: LocalJobs) -> dict[Path, int]:
    until = time.monotonic() + SECONDS
    while not (codes := jobs.ended()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return codes


def test_a_study_interrupted_and_killed_is_taken_up_to_the_bytes_of_an_ordinary_run(study_file, paring_child, tmp_path):
    out = tmp_path / "out"
    first = out / "runs/rgra/seed-0"

    def sent(number: int, steps: int) -> Callable[[int], None]:
        """A signal to the study once its run has made so many steps."""

        def send(process: int) -> None:
            wait_for_steps(first, steps)
            os.kill(process, number)

        return send

    study = paring_child("study", study_file, "--out", out, forks=True, meanwhile=sent(signal.SIGINT, 2))
    assert study.code == 130, study.output
    assert study.output.splitlines()[-1] == f"interrupted, and saved; go on with:  paring study {out} --resume"
    assert "Traceback" not in study.output and not (first / "result.json").exists()
    [saved] = (first / "checkpoints").iterdir()
    further = int(saved.name.removeprefix("step-")) + 2
    killed = paring_child("study", out, "--resume", forks=True, meanwhile=sent(signal.SIGKILL, further))
    assert killed.code == -signal.SIGKILL, killed.output
    # At once: the orphan may be at work still, and is waited for.
    resumed = paring_child("study", out, "--resume", forks=True)
    assert resumed.code == 0, resumed.output
    assert "1 of 1 runs finished" in resumed.output
    log = child.log_of(first).read_text()
    assert f"resumed from {first}/checkpoints/{saved.name}" in log
    assert log.count("interrupted, and saved") == log.count("resumed from") == 2
    assert paring_child("train", first, "--out", tmp_path / "alone").code == 0
    for name in SAME_BYTES:
        assert (first / name).read_bytes() == (tmp_path / "alone" / name).read_bytes(), name


@pytest.mark.skipif(all_cpus() < 2, reason="two processes on one CPU are refused")
def test_a_run_of_two_processes_that_lose_one_is_broken_and_goes_on(small_overrides, paring_child, tmp_path):
    """The first one is killed while it saves step 2, and the other ends."""
    study = tmp_path / "two.toml"
    common = "\n".join(text.replace("=", " = ") for text in small_overrides)
    study.write_text(f'recipe = "quickstart"\nseeds = [0]\n[common]\n{common}\n[arms.rgra]\n')
    out, command = tmp_path / "out", ["study", study, "--processes", "2", "--out", tmp_path / "out"]
    run, record = out / "runs/rgra/seed-0", out / "study.json"
    assert paring_child(*command, kill=(out, 40, "before"), in_run=True).code == 1
    [row] = json.loads(record.read_text())["runs"]
    assert row["error"]["kind"] == "broken" and not (run / "result.json").exists()
    ended = paring_child(*command, "--resume", kill=(out, 0, "before"))
    assert ended.code == 0, ended.output + child.last_words(run)
    assert json.loads((run / "result.json").read_text())["processes"] == 2
    assert "resumed from" in child.log_of(run).read_text()


def test_two_jobs_are_processes_of_one_thread_each(small_run, finished_run, tmp_path):
    """One fails, and its code and last words say why; the other trains as this process does."""
    from paring.training.config import as_plain

    jobs, broken, whole = LocalJobs(2, threads=1), tmp_path / "run", tmp_path / "whole"
    jobs.start(json.dumps({"steps": 1}), broken)
    jobs.start(json.dumps(as_plain(small_run({"threads": 0}))), whole)
    assert len(jobs._running) == 2
    codes: dict[Path, int] = {}
    while len(codes) < 2:
        codes |= wait_for_end(jobs)
    assert codes == {broken: child.BROKEN, whole: child.FINISHED}
    assert child.last_words(broken) == "run: task: required, but not given\nrun: rollout: required, but not given"
    assert json.loads((whole / "result.json").read_text())["threads"] == 1
    assert (whole / SAME_BYTES[1]).read_bytes() == (finished_run / SAME_BYTES[1]).read_bytes()
