"""A run made again is the same; where it is not, the first difference is named."""

import json
import shutil

import pytest

from paring.runtime.facts import facts_of_this_process
from paring.runtime.folder import RunFolder
from paring.runtime.journal import read_rows
from paring.subjects.rerunning import verified


@pytest.fixture
def copy(finished_run, tmp_path):
    return RunFolder(shutil.copytree(finished_run, tmp_path / "copy"))


def test_a_rerun_has_the_same_bytes(finished_run):
    found = verified(finished_run)
    assert found.is_same and found.first is None and found.notes == ()
    assert {"adapter/adapter_model.safetensors", "samples.jsonl", "items.jsonl"} <= {file.name for file in found.files}
    assert str(found).splitlines()[-1] == f"{finished_run}: made again, the same bytes"


def test_the_first_difference_and_another_cpu_are_named(copy, tmp_path):
    rows = list(read_rows(copy.metrics))
    for row in rows[2:]:
        row["grad_norm"] = 1.5
    copy.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    adapter = copy.adapter / "adapter_model.safetensors"
    adapter.write_bytes(adapter.read_bytes()[:-1] + b"\0")
    copy.starts.write_text(json.dumps(facts_of_this_process() | {"cpu": "abacus"}) + "\n")
    found = verified(copy.path, tmp_path / "again")
    assert not found.is_same and found.first.startswith("step 3: grad_norm was 1.5, and is ")
    assert [file.name for file in found.files if file.then != file.now] == ["adapter/adapter_model.safetensors"]
    [note] = found.notes
    assert note.startswith('another CPU, so the last bits may differ: "abacus" then')
    assert (tmp_path / "again/result.json").is_file()


def test_a_run_without_its_end_is_refused(copy):
    copy.result.unlink()
    with pytest.raises(ValueError, match="has not come to its end"):
        verified(copy.path)
