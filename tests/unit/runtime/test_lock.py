"""The lock of a run folder: one holder, named to the second, free as soon as the holder is dead."""

import errno
import fcntl
import json
import os
import signal
import socket

import pytest

from paring.runtime.lock import RunIsBusy, run_lock


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock until it is killed; gives its id."""
    ready, announce = os.pipe()
    child = os.fork()
    if child == 0:
        with run_lock(tmp_path):
            os.write(announce, b"1")
            signal.pause()
        os._exit(1)
    assert os.read(ready, 1) == b"1"
    yield child
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(ready)
    os.close(announce)


def test_the_second_is_told_who_holds_it(tmp_path, holder):
    with pytest.raises(RunIsBusy) as raised, run_lock(tmp_path):
        pass
    for expected in (str(tmp_path), f"process {holder} on '{socket.gethostname()}'", "choose another run folder"):
        assert expected in str(raised.value)


def test_kill_9_frees_it(tmp_path, exit_code_of_child):
    def hold_and_die():
        with run_lock(tmp_path):
            os.kill(os.getpid(), signal.SIGKILL)

    assert exit_code_of_child(hold_and_die) == -signal.SIGKILL
    assert f'"pid": {os.getpid()}' not in (tmp_path / ".lock").read_text()
    with run_lock(tmp_path):
        assert f'"pid": {os.getpid()}' in (tmp_path / ".lock").read_text()


def test_it_is_held_within_one_process_too_and_freed_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), run_lock(tmp_path):
        with pytest.raises(RunIsBusy, match=f"process {os.getpid()}"), run_lock(tmp_path):
            pass
        raise ZeroDivisionError
    with run_lock(tmp_path):
        pass


def test_a_child_that_outlives_a_killed_holder_does_not_keep_it(tmp_path, exit_code_of_child):
    ready, announce = os.pipe()

    def hold_fork_and_die():
        with run_lock(tmp_path):
            if os.fork() == 0:
                os.write(announce, str(os.getpid()).encode())
                signal.pause()
            orphan = os.read(ready, 20)
            os.write(announce, orphan)
            os.kill(os.getpid(), signal.SIGKILL)

    assert exit_code_of_child(hold_fork_and_die) == -signal.SIGKILL
    orphan = int(os.read(ready, 20))
    try:
        os.kill(orphan, 0)
        with run_lock(tmp_path):
            pass
    finally:
        os.kill(orphan, signal.SIGKILL)
        os.close(ready)
        os.close(announce)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"pid": "x", "host": 1}', b"\xff", b'{"pid": 1e999, "host": ""}', b"[" * 9999]
)
def test_a_lock_file_with_anything_in_it_is_no_obstacle(tmp_path, content):
    with run_lock(tmp_path):
        (tmp_path / ".lock").write_bytes(content)
        with pytest.raises(RunIsBusy, match="another process is already at work"), run_lock(tmp_path):
            pass
    (tmp_path / ".lock").write_bytes(content)
    with run_lock(tmp_path):
        pass


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone"), run_lock(tmp_path / "gone"):
        pass


def test_a_file_system_without_locks_gets_a_warning(tmp_path, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.warns(UserWarning, match="has no locks"), run_lock(tmp_path):
        pass


def test_the_holder_s_name_is_read_past_the_byte_that_windows_locks(tmp_path, holder):
    first, name = (tmp_path / ".lock").read_bytes()[:1], (tmp_path / ".lock").read_bytes()[1:]
    assert first == b" " and json.loads(name) == {"pid": holder, "host": socket.gethostname()}


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe", "folder"])
def test_a_lock_file_that_is_another_is_refused_and_not_written(tmp_path, kind):
    victim, lock = tmp_path / "victim", tmp_path / ".lock"
    victim.write_text("precious")
    {
        "link": lambda: lock.symlink_to(victim),
        "hard link": lambda: lock.hardlink_to(victim),
        "pipe": lambda: os.mkfifo(lock),
        "folder": lock.mkdir,
    }[kind]()
    with pytest.raises(ValueError, match="no plain file"), run_lock(tmp_path):
        pass
    assert victim.read_text() == "precious"
