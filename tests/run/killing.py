"""Kills a process at its n-th durable operation: before it, after it, or with what is not on the disk yet lost.

An operation is one that changes what a restart finds: open for writing, fsync, rename, unlink, mkdir, rmdir, truncate.
before, after   SIGKILL there: all that was written is there
torn            at an operation, the half of what no fsync has confirmed is lost, as by a power cut
dropped         ... all of it is
"""

import builtins
import io
import os
import signal
from pathlib import Path

MODES = ("before", "after", "torn", "dropped")
_NAMES = ("rename", "replace", "fsync", "unlink", "remove", "mkdir", "rmdir", "truncate", "ftruncate")


class Killer:
    """Counts the operations of this process under `root`, and ends it at the one of that `position`, from 1."""

    def __init__(self, root: str, position: int, mode: str) -> None:
        self.root, self.position, self.mode = os.path.realpath(root), position, mode
        self.count = 0
        self.process = os.getpid()
        self.confirmed: dict[str, int] = {}
        """Bytes on the disk, by the path of a file that was opened for writing."""
        self.ftruncate = os.ftruncate
        self.truncate = os.truncate

    def arm(self) -> None:
        for name in _NAMES:
            setattr(os, name, self._counted(getattr(os, name), name))
        opened = self._opened(io.open)
        builtins.open = io.open = opened
        descriptor_of = os.open

        def open_descriptor(path, flags, *rest, **named):
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and self._is_ours(path):
                self._note(path)
                return self._at(lambda: descriptor_of(path, flags, *rest, **named))
            return descriptor_of(path, flags, *rest, **named)

        os.open = open_descriptor

    def _is_ours(self, path: object) -> bool:
        if os.getpid() != self.process:
            return False
        if isinstance(path, int):
            return os.readlink(f"/proc/self/fd/{path}").startswith(self.root)
        try:
            # rmtree names entries by their folder's descriptor: a bare name is ours or harmless.
            name = os.fspath(path)
        except TypeError:
            return False
        if not isinstance(name, str):
            return False
        return os.path.realpath(name).startswith(self.root) or "/" not in name

    def _note(self, path: object) -> None:
        name = os.path.realpath(path)
        self.confirmed.setdefault(name, os.path.getsize(name) if os.path.isfile(name) else 0)

    def _counted(self, real, name):
        def act(first, *rest, **named):
            if not self._is_ours(first):
                return real(first, *rest, **named)
            path = os.readlink(f"/proc/self/fd/{first}") if isinstance(first, int) else os.path.realpath(first)
            done = self._at(lambda: real(first, *rest, **named))
            if name == "fsync" and os.path.isfile(path):
                self.confirmed[path] = os.path.getsize(path)
            if name in ("rename", "replace"):
                self.confirmed |= {
                    os.path.realpath(rest[0]) + known[len(path) :]: size
                    for known, size in list(self.confirmed.items())
                    if (known == path or known.startswith(path + "/")) and self.confirmed.pop(known) is not None
                }
            return done

        return act

    def _opened(self, real):
        def opened(path, mode="r", *rest, **named):
            if not isinstance(path, int) and set(mode) & set("wax+") and self._is_ours(path):
                self._note(path)
                return self._at(lambda: real(path, mode, *rest, **named))
            return real(path, mode, *rest, **named)

        return opened

    def _at(self, act):
        self.count += 1
        if self.count == self.position and self.mode != "after":
            if self.mode in ("torn", "dropped"):
                self._lose()
            os.kill(os.getpid(), signal.SIGKILL)
        number = self.count
        try:
            return act()
        finally:  # also where the operation was refused
            if number == self.position:
                os.kill(os.getpid(), signal.SIGKILL)

    def _lose(self) -> None:
        # What safetensors writes is opened by its own code: every file that no fsync has seen counts.
        for path in (path for path in Path(self.root).rglob("*") if path.is_file() and path.name != ".lock"):
            kept = self.confirmed.get(str(path))
            if kept is None and not any(part.startswith(".") and ".staging-" in part for part in path.parts):
                continue
            kept, size = kept or 0, path.stat().st_size
            if size > kept:
                self.truncate(path, kept if self.mode == "dropped" else (kept + size) // 2)
