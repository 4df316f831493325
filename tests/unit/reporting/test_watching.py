"""Runs seen from outside: the list of a folder, and following one that another process trains."""

import io
import json
import os
import shutil
import socket

import pytest

from paring.reporting.watching import runs_in, runs_table, watch
from paring.runtime.folder import RunFolder
from paring.runtime.members import members, packed
from paring.runtime.screen import Screen


@pytest.fixture
def begun(tmp_path):
    """A run of five steps that has made two, by this process."""
    folder = tmp_path / "runs" / "one"
    folder.mkdir(parents=True)
    (folder / "run.toml").write_text('steps = 5\n[objective]\nkind = "grpo"\n[task]\nname = "chains"\n')
    for step in (1, 2):
        add(folder, step)
    (folder / ".lock").write_text(" " + json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
    return folder


def add(folder, step):
    with open(folder / "metrics.jsonl", "a") as file:
        file.write(json.dumps({"step": step, "reward": step / 10}) + "\n")
    row = {"step": step, "prompt": [{"role": "user", "content": f"q{step}"}], "completion": "a\x1b[2J", "reward": 1.0}
    with open(folder / "samples.jsonl", "a") as file:
        file.write(json.dumps(row) + "\n")


def leave(folder):
    """As if the process had gone: no process has the highest number."""
    (folder / ".lock").write_text(" " + json.dumps({"pid": 2**22 + 5, "host": socket.gethostname()}))


def test_a_finished_run_is_listed_with_its_result(finished_run):
    [one] = runs_in(finished_run, now=lambda: RunFolder(finished_run).result.stat().st_mtime + 90)
    assert (one.what, one.state, one.step, one.steps) == ("rgra on arithmetic", "finished", 4, 4)
    assert one.result.startswith("accuracy ") and one.result.endswith(" %") and round(one.age) == 90


def test_states_of_runs(begun, finished_run):
    shutil.copytree(finished_run, begun.parent / "deeper" / "two")
    found = {one.folder.name: one.state for one in runs_in(begun.parent)}
    assert found == {"one": "running", "two": "finished"}
    leave(begun)
    [stopped] = runs_in(begun)
    assert (stopped.state, stopped.step, stopped.steps, stopped.result) == ("stopped", 2, 5, "reward 0.2")
    (begun / ".lock").write_text(json.dumps({"pid": 1, "host": "another"}))
    assert runs_in(begun)[0].state == "not finished"
    assert "grpo on chains  not finished   2/5" in "\n".join(runs_table(runs_in(begun)).as_text())


def test_a_damaged_run_does_not_hide_the_others(begun):
    (begun.parent / "bad").mkdir()
    (begun.parent / "bad" / "run.toml").write_text("= =")
    found = {one.folder.name: one for one in runs_in(begun.parent)}
    assert {name: one.state for name, one in found.items()} == {"one": "running", "bad": "damaged"}
    assert "run.toml: damaged" in found["bad"].fault and not found["one"].fault
    assert max(map(len, runs_table(list(found.values())).as_text())) <= 80 + len(str(begun.parent))


def test_a_supervised_run_is_listed_with_its_data(begun):
    (begun / "run.toml").write_text(
        'method = "sft"\nsteps = 3\n[data]\ndata = "/place/chats.jsonl"\n', encoding="utf-8"
    )
    assert runs_in(begun)[0].what == "sft on chats.jsonl"


def test_watching_shows_what_is_new_and_ends_with_the_run(begun):
    steps, file = iter([3, None, 4]), io.StringIO()

    def pause():
        if step := next(steps, 0):
            add(begun, step)
        elif step == 0:
            add(begun, 5)
            (begun / "result.json").write_text("{}")

    assert watch(begun, Screen(file), pause=pause) == f"{begun} has come to its end"
    lines = file.getvalue().splitlines()
    assert lines[0] == f"grpo on chains in {begun}"
    assert [line.split("  ")[0] for line in lines[1:]] == [f"step {number}/5" for number in (2, 3, 4, 5)]


def test_watching_a_run_that_stops_or_is_resumed(begun):
    def pause():
        (begun / "metrics.jsonl").write_text("")
        (begun / "samples.jsonl").write_text("")
        add(begun, 1)
        leave(begun)

    file = io.StringIO()
    assert watch(begun, Screen(file), pause=pause, forever=False).startswith(f"{begun} has stopped at step 1 of 5; go")
    assert [line.split("  ")[0] for line in file.getvalue().splitlines() if "step" in line] == ["step 2/5", "step 1/5"]


def test_commands(paring, refused, begun, tmp_path):
    leave(begun)
    assert "stopped" in paring("runs", begun.parent).stdout
    assert json.loads(paring("runs", begun.parent, "--json").stdout)[0]["step"] == 2
    assert "has stopped at step 2 of 5; go on with:  paring train --resume" in paring("watch", begun).stdout
    assert "there is no such folder; runs are written to runs/" in refused("runs", tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "holds no run: begin one with  paring train quickstart" in refused("runs", tmp_path / "empty")
    assert "holds no run: there is no run.toml in it" in refused("watch", tmp_path / "empty")


def test_a_run_says_how_it_was_started(finished_run):
    [start] = [json.loads(line) for line in RunFolder(finished_run).starts.read_text().splitlines()]
    assert start["host"] == socket.gethostname() and start["pid"] == os.getpid()
    assert start["versions"]["torch"] and start["command"] and "T" in start["time"]


def test_compressed_answers_are_shown_too(begun):
    folder = RunFolder(begun)
    folder.packed_samples.write_bytes(packed(folder.plain_samples.read_bytes()))
    folder.plain_samples.unlink()
    leave(begun)
    shown = io.StringIO()
    watch(begun, Screen(shown), forever=False)
    plain = io.StringIO()
    folder.plain_samples.write_bytes(b"".join(content for content, _ in members(folder.packed_samples.open("rb"))))
    folder.packed_samples.unlink()
    watch(begun, Screen(plain), forever=False)
    assert shown.getvalue() == plain.getvalue() and "step 2/5" in shown.getvalue()
