"""One run a folder: a lock that a killed process lets go of by itself."""

import errno
import json
import os
import socket
import stat
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import lock_descriptor

_CANNOT_LOCK = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP}
_NAME = 1
"""Where the holder's name stands, behind a space: Windows locks the first byte, and nobody else can read it then."""

# A forked child shares the lock with us and would keep it after our death, so it closes its copy at birth.
_held: set[int] = set()


class RunIsBusy(ValueError):
    """Another process works in this run folder."""


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold `folder`/.lock, which names our process and machine. The folder must exist.

    Raises RunIsBusy at once if another process, or another part of this one, holds it, and ValueError where .lock is no
    plain file: a link would have us write into what it names.
    """
    descriptor = _opened(folder / ".lock")
    _held.add(descriptor)
    try:
        try:
            is_ours = lock_descriptor(descriptor, blocking=False)
        except OSError as error:
            if error.errno not in _CANNOT_LOCK:
                raise
            warnings.warn(f"the file system of {folder} has no locks: do not start a second run there", stacklevel=3)
            is_ours = True
        if not is_ours:
            raise RunIsBusy(
                f"{folder}: {_holder(descriptor)} is already at work on this run; wait until it ends, stop it, "
                "or choose another run folder"
            )
        os.ftruncate(descriptor, 0)
        os.write(descriptor, b" " + json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
        yield
    finally:
        # The file stays: were it deleted, two others could each lock a different file of this name.
        _held.discard(descriptor)
        os.close(descriptor)


def _opened(path: Path) -> int:
    # O_NONBLOCK: a pipe of this name would wait for a reader.
    careful = 0 if sys.platform == "win32" else os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | careful, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.EISDIR, errno.ENXIO):
            raise ValueError(f"{path} is no plain file ({error.strerror}): remove it") from None
        raise
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(descriptor)
        raise ValueError(f"{path} is no plain file of its own: remove it")
    return descriptor


def _holder(descriptor: int) -> str:
    try:
        os.lseek(descriptor, _NAME, os.SEEK_SET)
        match json.loads(os.read(descriptor, 4096)):
            case {"pid": int(pid), "host": str(host)}:
                return f"process {pid} on {host!a}"
    except (ValueError, RecursionError, OSError):
        pass  # not written yet, or not by us
    return "another process"


def _let_go_in_child() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_let_go_in_child)
