"""Checkpoints: exact bytes back, order and rotation by step, and a disk that refuses."""

import json
import os
import resource
import shutil
import stat

import pytest
import torch

from paring.runtime.checkpoint import CheckpointNotSaved, load_newest, save
from paring.runtime.files import sha256_of
from paring.runtime.kept import newest_first


def bytes_of(tensor: torch.Tensor) -> bytes:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def test_every_kind_of_tensor_comes_back_byte_by_byte(tmp_path):
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    adapter = {
        "bf16": torch.tensor([1.0, -0.0, float("nan"), float("-inf"), 1e-40], dtype=torch.bfloat16),
        "f16": torch.tensor([0.1, 65504.0], dtype=torch.float16),
        "f64": torch.tensor([0.1, 1e300], dtype=torch.float64),
        "f8": torch.tensor([0.5, 2.0]).to(torch.float8_e4m3fn),
        "nan_with_payload": torch.tensor([0x7FC12345], dtype=torch.int32).view(torch.float32),
        "scalar": torch.tensor(3.25),
        "empty": torch.empty(0, 3),
        "bool": torch.tensor([True, False]),
        "transposed": base.T,
        "slice": base[:, 1:3],
        "same_memory": base,
        "same_memory_again": base,
        "needs_grad": torch.ones(2, requires_grad=True),
    }
    moments = {"step": torch.tensor(7, dtype=torch.int64), "packed": torch.arange(256).to(torch.uint8)}
    save(tmp_path / "checkpoints", 3, {"adapter": adapter, "optimiser": moments, "nothing": {}}, {}, keep=2)
    found, damages = load_newest(tmp_path / "checkpoints")
    assert damages == [] and found.step == 3
    assert set(found.tensors) == {"adapter", "optimiser", "nothing"}
    assert found.tensors["nothing"] == {}
    for stem, saved in (("adapter", adapter), ("optimiser", moments)):
        assert set(found.tensors[stem]) == set(saved)
        for name, tensor in saved.items():
            loaded = found.tensors[stem][name]
            assert (loaded.dtype, loaded.shape) == (tensor.dtype, tensor.shape), name
            assert bytes_of(loaded) == bytes_of(tensor), name


def test_state_comes_back_exactly(tmp_path):
    state = {"float": 0.1 + 0.2, "tiny": 5e-324, "int": 2**70, "text": "ö\ud800\u2028", "deep": [{"a": None}, True]}
    save(tmp_path, 1, {}, state, keep=2)
    found, _ = load_newest(tmp_path)
    assert found.state == state


def test_state_that_json_would_change_is_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        save(tmp_path, 1, {}, {"loss": float("nan")}, keep=2)
    for changed in ({"ranks": (1, 2)}, {"ranks": {1: 2}}):
        with pytest.raises(AssertionError, match="JSON would change"):
            save(tmp_path, 1, {}, changed, keep=2)
    assert os.listdir(tmp_path) == []


def test_manifest_lists_size_and_hash_of_every_file(tmp_path, checkpoints):
    path = checkpoints.save(10)
    assert path == tmp_path / "step-000010"
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest["format"] == 3 and manifest["step"] == 10
    assert {name: (entry["bytes"], entry["sha256"]) for name, entry in manifest["files"].items()} == {
        name: ((path / name).stat().st_size, sha256_of(path / name)) for name in ("adapter.safetensors", "state.json")
    }


def test_files_follow_the_umask(tmp_path, checkpoints):
    before = os.umask(0o027)
    try:
        path = checkpoints.save(1)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(entry.stat().st_mode) for entry in path.iterdir()} == {0o640}
    assert stat.S_IMODE(path.stat().st_mode) == 0o750


def test_no_checkpoints_is_no_error(tmp_path):
    assert load_newest(tmp_path / "missing") == (None, [])
    (tmp_path / ".step-000010.staging-77").mkdir()
    (tmp_path / "notes.txt").write_text("")
    assert load_newest(tmp_path) == (None, [])


def test_order_is_that_of_steps_not_of_names_or_clocks(tmp_path, checkpoints):
    for step in (999999, 1000000, 9):
        checkpoints.save(step)
    for step, name in ((10, "step-10"), (11, "step-011")):
        os.rename(checkpoints.save(step), tmp_path / name)
    for age, name in enumerate(("step-1000000", "step-999999", "step-011", "step-10", "step-000009")):
        os.utime(tmp_path / name, (age, age))
        assert load_newest(tmp_path)[0].path == tmp_path / name
        shutil.rmtree(tmp_path / name)


def test_two_spellings_of_a_step_prefer_ours(tmp_path, checkpoints):
    os.rename(checkpoints.save(10), tmp_path / "step-10")
    checkpoints.save(10)
    assert load_newest(tmp_path)[0].path == tmp_path / "step-000010"


def test_names_that_are_no_steps_are_left_alone(tmp_path, checkpoints):
    for name in ("step-", "step--1", "step-" + "9" * 200, "step-١٢", "xstep-1", "step-1x", "step-1.replaced"):
        (tmp_path / name).mkdir()
    checkpoints.save(1)
    assert load_newest(tmp_path)[0].step == 1


def test_rotation_keeps_the_newest(tmp_path, checkpoints):
    for step in (1, 2, 3, 4):
        checkpoints.save(step, keep=2)
    assert checkpoints.steps() == [3, 4]


def test_checkpoints_of_later_steps_do_not_push_out_what_was_just_saved(tmp_path, checkpoints):
    for step in (20, 30, 5, 10):
        checkpoints.save(step, keep=2)
    assert checkpoints.steps() == [5, 10, 20, 30]
    checkpoints.save(15, keep=2)
    assert checkpoints.steps() == [10, 15, 20, 30]


@pytest.mark.parametrize("keep", [1, 0, -1])
def test_keeping_one_is_refused(tmp_path, checkpoints, keep):
    with pytest.raises(ValueError, match=f"keep={keep}: keep at least 2"):
        checkpoints.save(1, keep=keep)


def test_an_old_checkpoint_that_cannot_be_removed_is_a_warning(tmp_path, checkpoints, monkeypatch):
    for step in (1, 2):
        checkpoints.save(step, keep=2)

    def refuse(path):
        raise PermissionError(13, "not yours")

    monkeypatch.setattr("paring.runtime.kept.remove_folder", refuse)
    with pytest.warns(UserWarning, match="step-000001 could not be removed"):
        checkpoints.save(3, keep=2)
    assert load_newest(tmp_path)[0].step == 3


def test_a_full_disk_leaves_the_old_checkpoint_and_says_what_was_needed(tmp_path, checkpoints, exit_code_of_child):
    checkpoints.save(10)

    def save_on_a_full_disk():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        with pytest.raises(CheckpointNotSaved, match=r"step-000020 was not saved: .*needs 1000002 bytes and \d+ are"):
            save(tmp_path, 20, {"adapter": {"a": torch.zeros(250_000)}}, {}, keep=2)

    assert exit_code_of_child(save_on_a_full_disk) == 0
    assert os.listdir(tmp_path) == ["step-000010"]
    found, damages = load_newest(tmp_path)
    assert found.step == 10 and damages == []


def test_a_run_folder_that_vanished_is_loud(tmp_path):
    with pytest.raises(CheckpointNotSaved, match="No such file"):
        save(tmp_path / "gone" / "checkpoints", 1, {}, {}, keep=2)


def test_a_folder_of_a_name_like_a_checkpoint_s_is_none(tmp_path):
    for name in ("step-000003-backup", "step-", "step-x", "step-000009.old", ".step-000004.staging-1", "damaged"):
        (tmp_path / name).mkdir()
    save(tmp_path, 1, {}, {}, keep=2)
    assert [step for step, _ in newest_first(tmp_path)] == [1]
