"""Durable writing: whatever bears its final name is complete, also after kill -9 or a power cut."""

import errno
import hashlib
import os
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import lock_descriptor

_LEFTOVER = re.compile(r"\.(?P<name>.+)\.(?:staging-[0-9]+|(?P<replaced>replaced))")
_CANNOT_SYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}


def write_durably(path: Path, data: bytes) -> None:
    """Replace `path` by `data` in one step: a reader, or a kill, sees the old content or the new one, never a mixture.

    Raises OSError if the disk refuses (full, read-only, folder missing); the old content is then untouched.
    """
    _sweep(path)
    staging = _staging_for(path)
    try:
        with open(staging, "wb") as file:
            _claim(file.fileno())
            file.write(data)
            file.flush()
            _sync_descriptor(file.fileno(), path)
        os.replace(staging, path)
    except BaseException:
        staging.unlink(missing_ok=True)
        raise
    sync(path.parent)


@contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """Yield an empty hidden folder beside `target`; when the block succeeds it becomes `target`, else it vanishes.

    It stands beside the target because only a rename within one file system is atomic. A target that exists is swapped
    out first and removed afterwards; `standing` finds it if the run is killed in between. Raises OSError.
    """
    _sweep(target)
    staging = _staging_for(target)
    _remove(staging)
    staging.mkdir()
    try:
        with _claimed(staging):
            yield staging
            # What the umask gives a new file; safetensors' 0600 would shut out a group that shares the folder.
            mode = staging.stat().st_mode & 0o666
            for parent, _, names in os.walk(staging):
                for name in names:
                    Path(parent, name).chmod(mode)
                    sync(Path(parent, name))
                sync(Path(parent))
            _put_in_place(staging, target)
    except BaseException:
        _remove(staging)
        raise


def _put_in_place(staging: Path, target: Path) -> None:
    replaced = _replaced_for(target)
    if target.exists():
        _remove(replaced)
        os.rename(target, replaced)
    try:
        os.rename(staging, target)
    except OSError:
        if standing(target) != target:
            os.rename(replaced, target)
        raise
    sync(target.parent)
    _remove(replaced)


def standing(target: Path) -> Path:
    """Where the content of `target` is: there, or where a run that was killed while replacing it had put it aside."""
    replaced = _replaced_for(target)
    return replaced if replaced.exists() and not target.exists() else target


def remove_folder(folder: Path) -> None:
    """Remove a folder so that a kill halfway leaves no half-empty folder under its name."""
    hidden = _staging_for(folder)
    _remove(hidden)
    os.rename(folder, hidden)
    _remove(hidden)


def remove_staging(parent: Path) -> None:
    """Clear what killed runs left in `parent`, and put back what they had swapped out without a successor.

    It cannot tell a dead run's leftovers from a living run's work: call it under `run_lock`.
    """
    for entry in sorted(parent.iterdir()):
        if leftover := _LEFTOVER.fullmatch(entry.name):
            target = parent / leftover["name"]
            if leftover["replaced"] and not target.exists():
                os.rename(entry, target)
            else:
                _remove(entry)
    sync(parent)


def is_free(folder: Path, *, also: Callable[[Path], bool] = lambda _: False) -> bool:
    """Whether nothing is there but what a killed run, or one that is about to begin, leaves: its lock and staging, and
    what is `also` of no weight."""
    if not folder.exists():
        return True
    return folder.is_dir() and all(
        path.name == ".lock" or _LEFTOVER.fullmatch(path.name) or also(path) for path in folder.iterdir()
    )


def is_leftover(path: Path) -> bool:
    """Whether a process has half written this, and its name is not one that `standing` finds."""
    leftover = _LEFTOVER.fullmatch(path.name)
    return leftover is not None and not (leftover["replaced"] and not path.with_name(leftover["name"]).exists())


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Wait until a file, or the list of names in a folder, is on the disk. Windows opens no folder, and lets nobody
    wait for its names."""
    if sys.platform == "win32" and path.is_dir():
        return
    # Windows waits only for what may be written.
    descriptor = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        _sync_descriptor(descriptor, path)
    finally:
        os.close(descriptor)


def _sync_descriptor(descriptor: int, path: Path) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
        warnings.warn(
            f"the file system of {path.parent} cannot fsync: what is written there survives a kill, not a power cut",
            stacklevel=2,
        )


def _sweep(target: Path) -> None:
    """Remove what killed processes left while they wrote `target`. Whoever still writes holds a lock on its own, and a
    file system without locks keeps the leftovers until `remove_staging`."""
    if sys.platform == "win32" or not target.parent.is_dir():
        return
    for entry in list(target.parent.iterdir()):
        leftover = _LEFTOVER.fullmatch(entry.name)
        if leftover and leftover["name"] == target.name and not leftover["replaced"]:
            with suppress(OSError), _claimed(entry) as is_ours:
                if is_ours:
                    _remove(entry)


@contextmanager
def _claimed(path: Path) -> Iterator[bool]:
    """Hold a lock on a file or folder that is being written; False where another holds it, or there are no locks."""
    if sys.platform == "win32":
        yield False
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        yield _claim(descriptor)
    finally:
        os.close(descriptor)


def _claim(descriptor: int) -> bool:
    if sys.platform == "win32":
        return False
    try:
        return lock_descriptor(descriptor, blocking=False)
    except OSError:
        return False


def _staging_for(target: Path) -> Path:
    return target.with_name(f".{target.name}.staging-{os.getpid()}")


def _replaced_for(target: Path) -> Path:
    return target.with_name(f".{target.name}.replaced")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
