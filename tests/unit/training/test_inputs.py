"""The record of a run's inputs, read by a version that has more settings."""

import json
import shutil
from dataclasses import replace

import pytest

from paring.runtime.folder import RunFolder
from paring.training.config import load_run, to_toml
from paring.training.inputs import changed_inputs, settle
from paring.training.progress import resumed


def test_a_setting_that_is_newer_than_the_run_is_no_change(finished_run, tmp_path):
    folder = RunFolder(shutil.copytree(finished_run, tmp_path / "run"))
    record = json.loads(folder.inputs.read_text())
    del record["recipe"]["adapter"]["most_parameters"]
    folder.inputs.write_text(json.dumps(record))
    run = load_run(folder.existing_recipe())
    assert changed_inputs(folder, run, 0) == []
    settle(folder, run, to_toml(run), 0)
    assert not folder.changes.exists()
    record["recipe"]["adapter"]["alpha"] = 3.0
    folder.inputs.write_text(json.dumps(record))
    assert changed_inputs(folder, run, 0) == ["adapter.alpha: 3.0 -> 16.0"]


@pytest.mark.parametrize(("change", "words"), [({"samples_every": 3}, "at 1"), ({"compress": True}, "at false")])
def test_the_record_of_answers_keeps_its_form_on_the_way(finished_run, change, words):
    folder = RunFolder(finished_run)
    run = load_run(folder.existing_recipe())
    with pytest.raises(ValueError, match=f"keeps its answers as it began: leave it {words}"):
        resumed(folder, replace(run, save=replace(run.save, **change)), allow_changed=True)
