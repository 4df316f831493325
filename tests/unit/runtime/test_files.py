"""Durable writing: the order of fsync and rename, what an error leaves behind, and what a killed run left."""

import errno
import hashlib
import os
import sys

import pytest

from paring.runtime.files import remove_folder, remove_staging, sha256_of, staged_folder, standing, write_durably


@pytest.fixture
def events(monkeypatch):
    """The calls of fsync, rename and replace, in order, with the name of the file they were made on."""
    seen = []
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def record(kind, act):
        def recorded(source, *target):
            path = os.readlink(f"/proc/self/fd/{source}") if isinstance(source, int) else os.fspath(source)
            seen.append((kind, os.path.basename(path)))
            return act(source, *target)

        return recorded

    monkeypatch.setattr(os, "fsync", record("fsync", fsync))
    monkeypatch.setattr(os, "rename", record("rename", rename))
    monkeypatch.setattr(os, "replace", record("rename", replace))
    return seen


def test_a_file_is_synced_before_and_its_folder_after_the_rename(tmp_path, events):
    write_durably(tmp_path / "run.toml", b"new")
    staging = f".run.toml.staging-{os.getpid()}"
    assert events == [("fsync", staging), ("rename", staging), ("fsync", tmp_path.name)]
    assert os.listdir(tmp_path) == ["run.toml"]
    assert (tmp_path / "run.toml").read_bytes() == b"new"


def test_a_folder_is_synced_inside_out_before_and_its_parent_after_the_rename(tmp_path, events):
    with staged_folder(tmp_path / "adapter") as staging:
        (staging / "deep").mkdir()
        (staging / "deep" / "b").write_bytes(b"b")
        (staging / "a").write_bytes(b"a")
        assert not (tmp_path / "adapter").exists()
    name = f".adapter.staging-{os.getpid()}"
    renamed = events.index(("rename", name))
    assert set(events[:renamed]) == {("fsync", "a"), ("fsync", "b"), ("fsync", "deep"), ("fsync", name)}
    assert events[renamed + 1 :] == [("fsync", tmp_path.name)]
    assert (tmp_path / "adapter" / "deep" / "b").read_bytes() == b"b"


def test_on_windows_files_are_synced_as_they_may_be_written_and_folders_not_at_all(tmp_path, events, monkeypatch):
    opened, of_system = [], os.open
    monkeypatch.setattr(os, "open", lambda path, flags: opened.append(flags) or of_system(path, flags))
    monkeypatch.setattr(sys, "platform", "win32")
    write_durably(tmp_path / "run.toml", b"new")
    with staged_folder(tmp_path / "adapter") as staging:
        (staging / "a").write_bytes(b"a")
    assert [name for kind, name in events if kind == "fsync"] == [f".run.toml.staging-{os.getpid()}", "a"]
    assert opened == [os.O_RDWR]


def test_a_folder_that_exists_is_replaced_as_a_whole(tmp_path):
    target = tmp_path / "adapter"
    for name in ("old", "new"):
        with staged_folder(target) as staging:
            (staging / name).write_bytes(b"")
    assert os.listdir(target) == ["new"]
    assert os.listdir(tmp_path) == ["adapter"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_content_and_nothing_else(tmp_path, error):
    target = tmp_path / "adapter"
    with staged_folder(target) as staging:
        (staging / "old").write_bytes(b"")
    with pytest.raises(type(error)), staged_folder(target) as staging:
        (staging / "half").write_bytes(b"")
        raise error
    assert os.listdir(tmp_path) == ["adapter"]
    assert os.listdir(target) == ["old"]


def test_a_rename_that_fails_puts_the_old_folder_back(tmp_path, monkeypatch):
    target = tmp_path / "adapter"
    with staged_folder(target) as staging:
        (staging / "old").write_bytes(b"")
    rename = os.rename

    def refuse_staging(source, destination):
        if "staging" in os.fspath(source):
            raise OSError(errno.EIO, "broken")
        rename(source, destination)

    monkeypatch.setattr(os, "rename", refuse_staging)
    with pytest.raises(OSError, match="broken"), staged_folder(target) as staging:
        (staging / "new").write_bytes(b"")
    assert os.listdir(tmp_path) == ["adapter"]
    assert os.listdir(target) == ["old"]


def test_a_disk_that_fails_to_sync_is_an_error_and_the_old_file_stays(tmp_path, monkeypatch):
    path = tmp_path / "run.toml"
    path.write_bytes(b"old")

    def fail(descriptor):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="broken"):
        write_durably(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["run.toml"]


def test_a_file_system_without_sync_gets_a_warning(tmp_path, monkeypatch):
    def refuse(descriptor):
        raise OSError(errno.EINVAL, "not here")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.warns(UserWarning, match="not a power cut"):
        write_durably(tmp_path / "run.toml", b"new")
    assert (tmp_path / "run.toml").read_bytes() == b"new"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone"), staged_folder(tmp_path / "gone" / "adapter"):
        pass


def test_leftovers_are_cleared_and_an_unfinished_swap_is_undone(tmp_path):
    for name in (".a.staging-1", ".b.replaced", ".c.replaced", "c", ".hidden", "d.staging-1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / ".e.staging-22").write_bytes(b"half")
    assert standing(tmp_path / "b") == tmp_path / ".b.replaced"
    assert standing(tmp_path / "c") == tmp_path / "c"
    remove_staging(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".hidden", "b", "c", "d.staging-1"]
    assert (tmp_path / "b" / "file").read_text() == ".b.replaced"
    assert (tmp_path / "c" / "file").read_text() == "c"


def test_a_link_among_the_leftovers_is_removed_but_not_followed(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / ".a.staging-1").symlink_to(tmp_path / "precious")
    remove_staging(tmp_path)
    assert os.listdir(tmp_path) == ["precious"]


def test_a_folder_is_hidden_before_it_is_emptied(tmp_path, events):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "file").write_bytes(b"")
    remove_folder(tmp_path / "old")
    assert events == [("rename", "old")]
    assert os.listdir(tmp_path) == []


def test_hash_is_that_of_the_standard(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (tmp_path / "long").write_bytes(bytes(range(256)) * 5000)
    assert sha256_of(tmp_path / "long") == hashlib.sha256(bytes(range(256)) * 5000).hexdigest()


@pytest.mark.parametrize("umask, mode", [(0o022, 0o644), (0o077, 0o600)])
def test_the_files_of_a_staged_folder_follow_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with staged_folder(tmp_path / "model") as staging:
            (staging / "secret").touch(mode=0o600)
    finally:
        os.umask(before)
    assert (tmp_path / "model" / "secret").stat().st_mode & 0o777 == mode
