"""Damaged checkpoints: found, named, passed over, and never the reason that a sound one is removed."""

import json
import os
import re
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from paring.runtime.checkpoint import DamagedCheckpoints, load_newest
from paring.runtime.files import sha256_of


def flip_bit(path, position=-3):
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def truncate_tensors(path):
    os.truncate(path / "adapter.safetensors", (path / "adapter.safetensors").stat().st_size // 2)


def flip_tensor_bit(path):
    flip_bit(path / "adapter.safetensors")


def flip_state_bit(path):
    (path / "state.json").write_text((path / "state.json").read_text().replace("20", "21"))


def lose_manifest(path):
    (path / "manifest.json").unlink()


def lose_state(path):
    (path / "state.json").unlink()


def write_manifest(text):
    def write(path):
        (path / "manifest.json").write_text(text)

    return write


def list_another_file(path):
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"]["../step-000010/state.json"] = manifest["files"]["state.json"]
    (path / "manifest.json").write_text(json.dumps(manifest))


def write_foreign_content(name, content):
    def write(path):
        (path / name).write_bytes(content)
        manifest = json.loads((path / "manifest.json").read_text())
        manifest["files"][name] = {"bytes": len(content), "sha256": sha256_of(path / name)}
        (path / "manifest.json").write_text(json.dumps(manifest))

    return write


def become_another_step(path):
    shutil.copy(path.parent / "step-000010" / "manifest.json", path / "manifest.json")


def become_a_file(path):
    shutil.rmtree(path)
    path.write_bytes(b"")


@pytest.mark.parametrize(
    "damage, why",
    [
        (truncate_tensors, r"adapter.safetensors has \d+ bytes where \d+ were written"),
        (flip_tensor_bit, "adapter.safetensors is not what was written: its SHA-256 differs"),
        (flip_state_bit, "state.json is not what was written: its SHA-256 differs"),
        (lose_manifest, "manifest.json is missing"),
        (lose_state, "state.json cannot be read: No such file"),
        (write_manifest(""), "manifest.json is not JSON"),
        (write_manifest("\0" * 100), "manifest.json is not JSON"),
        (write_manifest("[" * 100_000), "manifest.json is not JSON"),
        (write_manifest('{"format": NaN}'), "NaN is no JSON number"),
        (write_manifest("[1, 2]"), "manifest.json does not describe a checkpoint of step 20"),
        (write_manifest('{"format": 2, "step": 20}'), "written in format 2, this paring reads format 3: resume with"),
        (write_manifest('{"format": 3, "step": 20, "files": []}'), "does not describe a checkpoint of step 20"),
        (write_manifest('{"format": 3, "step": 20, "files": {"state.json": 5}}'), "does not describe 'state.json'"),
        (write_manifest('{"format": 3, "step": 20, "files": {}}'), "does not describe a checkpoint of step 20"),
        (write_manifest('{"format": 4, "step": 20}'), "written in format 4, this paring reads up to format 3"),
        (list_another_file, "does not describe '../step-000010/state.json'"),
        (write_foreign_content("adapter.safetensors", b"\x80\x04pickle"), "adapter.safetensors cannot be read"),
        (write_foreign_content("state.json", b"[]"), "state.json holds list where an object is expected"),
        (become_another_step, "does not describe a checkpoint of step 20"),
        (become_a_file, "manifest.json cannot be read: Not a directory"),
    ],
)
def test_damage_is_named_and_passed_over(tmp_path, checkpoints, damage, why):
    checkpoints.save(10)
    newest = checkpoints.save(20)
    damage(newest)
    found, damages = load_newest(tmp_path)
    assert found.step == 10 and found.state == {"seed": 10}
    assert [entry.path for entry in damages] == [newest]
    assert re.search(why, damages[0].why), damages[0].why


def test_safetensors_alone_would_load_the_flipped_bit(tmp_path):
    save_file({"a": torch.ones(4)}, tmp_path / "plain.safetensors")
    flip_bit(tmp_path / "plain.safetensors")
    assert not torch.equal(load_file(tmp_path / "plain.safetensors")["a"], torch.ones(4))


def test_all_damaged_never_starts_again_in_silence(tmp_path, checkpoints):
    for step in (10, 20, 30):
        checkpoints.save(step)
    flip_tensor_bit(tmp_path / "step-000010")
    lose_manifest(tmp_path / "step-000020")
    truncate_tensors(tmp_path / "step-000030")
    with pytest.raises(DamagedCheckpoints) as raised:
        load_newest(tmp_path)
    assert [damage.path.name for damage in raised.value.damages] == ["step-000030", "step-000020", "step-000010"]
    for expected in ("all 3", "step-000030: adapter", "step-000020: manifest.json is missing", "SHA-256 differs"):
        assert expected in str(raised.value)


def test_a_damaged_checkpoint_does_not_push_out_a_sound_one(tmp_path, checkpoints):
    checkpoints.save(10)
    flip_tensor_bit(checkpoints.save(20))
    checkpoints.save(30, keep=2)
    assert checkpoints.steps() == [10, 20, 30]
    checkpoints.save(40, keep=2)
    assert checkpoints.steps() == [30, 40]


def test_damaged_checkpoints_of_later_steps_do_not_push_out_what_is_saved_now(tmp_path, checkpoints):
    for step in (10, 20, 30):
        checkpoints.save(step)
    for step in (20, 30):
        flip_tensor_bit(tmp_path / f"step-{step:06d}")
    assert load_newest(tmp_path)[0].step == 10
    checkpoints.save(15, keep=2)
    found, damages = load_newest(tmp_path)
    assert found.step == 15 and len(damages) == 2
    checkpoints.save(30, keep=2)
    assert load_newest(tmp_path)[0].step == 30
    assert checkpoints.steps() == [15, 20, 30]
    checkpoints.save(40, keep=2)
    assert checkpoints.steps() == [30, 40]
