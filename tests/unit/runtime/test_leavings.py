"""What is of no more use is found and removed; what is in use, and what a link names, is not."""

import os

import pytest

from paring.runtime.files import write_durably
from paring.runtime.leavings import collect
from paring.runtime.lock import run_lock


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "runs/one"
    for step in (1, 2, 3):
        (folder / f"checkpoints/step-{step:06d}").mkdir(parents=True)
        (folder / f"checkpoints/step-{step:06d}/state.json").write_text("{}")
    (folder / "checkpoints/damaged/step-000009").mkdir(parents=True)
    (folder / "checkpoints/.step-000004.staging-7").mkdir()
    (folder / ".adapter.staging-7").mkdir()
    (folder / ".adapter.replaced").mkdir()  # the only adapter there is: a rename was cut off
    (folder / "run.toml").write_text("")
    return folder


def names(found):
    return sorted(leaving.path.name for leaving in found)


def test_of_a_run_that_goes_on_every_checkpoint_stays(run):
    found, busy = collect(run.parent, remove=True)
    assert names(found) == [".adapter.staging-7", ".step-000004.staging-7", "damaged"] and not busy
    assert sorted(os.listdir(run / "checkpoints")) == ["step-000001", "step-000002", "step-000003"]
    assert (run / ".adapter.replaced").is_dir()
    assert collect(run.parent, remove=True) == ([], [])


def test_of_an_ended_run_the_newest_checkpoint_stays(run):
    (run / "result.json").write_text("{}")
    before = sorted(run.rglob("*"))
    shown, _ = collect(run.parent, remove=False)
    assert sorted(set(run.rglob("*")) - {run / ".lock"}) == before
    removed, _ = collect(run.parent, remove=True)
    assert [leaving.path for leaving in removed] == [leaving.path for leaving in shown]
    assert os.listdir(run / "checkpoints") == ["step-000003"]


def test_a_folder_in_which_a_process_works_is_left_out(run):
    with run_lock(run):
        found, [words] = collect(run.parent, remove=True)
    assert not found and str(os.getpid()) in words
    assert (run / ".adapter.staging-7").is_dir()


def test_links_are_removed_and_not_followed(run, tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").write_text("precious")
    (run / ".items.jsonl.staging-7").symlink_to(victim)
    collect(run.parent, remove=True)
    assert (victim / "precious").read_text() == "precious" and not (run / ".items.jsonl.staging-7").is_symlink()


def test_the_next_write_removes_what_a_killed_one_left_and_nobody_else_s(tmp_path):
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    left = tmp_path / f".report.md.staging-{child}"
    left.write_text("half")
    other = tmp_path / f".report.html.staging-{child}"
    other.write_text("half")
    write_durably(tmp_path / "report.md", b"whole")
    assert not left.exists() and other.exists()
