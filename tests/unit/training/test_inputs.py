"""The record of a run's inputs, read by a version that has more settings."""

import json
import shutil

from paring.runtime.folder import RunFolder
from paring.training.config import load_run, to_toml
from paring.training.inputs import changed_inputs, settle


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
