"""Links and special files in a run folder are named, and not read: a pipe or a device would never end."""

import os
import shutil
import sys

import pytest

from paring.reporting.runs import read_run
from paring.reporting.samples import choose
from paring.reporting.watching import runs_in
from paring.runtime.folder import RunFolder
from paring.runtime.leavings import collect

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no pipes with names")
KINDS = {
    "a pipe": os.mkfifo if sys.platform != "win32" else None,
    "a link": lambda path: path.symlink_to("/dev/zero"),
    "a folder": lambda path: path.mkdir(),
}
NAMES = (
    *("metrics.jsonl", "samples.jsonl", "items.jsonl", "result.json", "inputs.json", "starts.jsonl", ".lock"),
    *("checkpoints/step-000004/state.json", "checkpoints/step-000004/manifest.json", "adapter/adapter_config.json"),
)


@pytest.fixture
def run(finished_run, tmp_path):
    return RunFolder(shutil.copytree(finished_run, tmp_path / "run"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_plain_file_is_named(run, kind, name):
    path = run.path / name
    path.unlink(missing_ok=True)
    KINDS[kind](path)
    if kind == "a folder" and "/" in name:
        return  # a folder below checkpoints is not read as a file
    with pytest.raises(ValueError, match=f"{name} is {kind}, and is not read"):
        run.existing_recipe()


def test_every_reader_asks(run):
    run.metrics.unlink()
    os.mkfifo(run.metrics)
    for reader in (lambda: read_run(run.path), lambda: choose(run.path, step=None, worst=False, limit=1)):
        with pytest.raises(ValueError, match="is a pipe, and is not read"):
            reader()
    [listed] = runs_in(run.path)
    assert listed.state == "damaged" and "is a pipe" in listed.fault
    found, left_out = collect(run.path, remove=True)
    assert found == [] and "is a pipe" in left_out[0]


def test_a_folder_of_checkpoints_elsewhere_is_not_followed(run, tmp_path):
    run.checkpoints.rename(tmp_path / "elsewhere")
    run.checkpoints.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="checkpoints is a link"):
        run.existing_recipe()
    shutil.rmtree(run.adapter)
    run.checkpoints.unlink()
    run.checkpoints.write_text("x")
    with pytest.raises(ValueError, match="checkpoints is a file"):
        run.existing_recipe()
