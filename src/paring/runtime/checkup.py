"""`paring doctor`: what this machine offers a run, checked one by one; each fault with the line that mends it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import lock_descriptor

from paring.runtime.files import sha256_of, write_durably
from paring.runtime.machine import all_cpus, main_memory, versions
from paring.runtime.text import one_line

SMALLEST_DISK, SMALLEST_MEMORY = 1 << 30, 2 << 30
EXTRAS = {"datasets": "data", "matplotlib": "figures", "peft": "peft", "ray": "ray"}
TINY = ("steps=2", "threads=1", "save.every=1", "evaluate.limit=2", "rollout.problems=2", "rollout.group_size=2")
PATIENCE = 120.0
"""Seconds that one run of the self-test may take."""


@dataclass(frozen=True)
class Finding:
    """One check: whether all is well, what was found, and what mends it."""

    check: str
    well: bool
    words: str
    remedy: str = ""

    def __str__(self) -> str:
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{'ok ' if self.well else 'BAD'} {self.check}: {self.words}{remedy}"


def findings(place: Path, *, self_test: bool) -> Iterator[Finding]:
    """Every check, for runs in the folder `place`; the crash and the resume of a small run last."""
    found = versions()
    yield Finding("versions", True, ", ".join(f"{name} {number}" for name, number in found.items()))
    missing = [extra for module, extra in EXTRAS.items() if find_spec(module) is None]
    yield Finding("extras", True, f"not installed: {', '.join(missing)}" if missing else "all are installed")
    built = find_spec("paring.maths._compiled") is not None
    without = "by torch, so that rollouts on a CPU are slower: installed without a C compiler (gcc 12 or newer)"
    yield Finding("fused operations", True, "by compiled code" if built else without)
    yield Finding("cpus", True, f"{all_cpus()} for this process")
    yield _memory()
    yield _disk(place)
    yield _durable(place)
    if self_test:
        yield _crash_and_resume()


def _memory() -> Finding:
    try:
        memory = main_memory()
    except ValueError as error:
        return Finding("memory", True, str(error))
    enough = memory >= SMALLEST_MEMORY
    remedy = "" if enough else "paring plan RECIPE says what fits"
    return Finding("memory", enough, f"{memory / 1e9:.1f} GB", remedy)


def _disk(place: Path) -> Finding:
    there = next(path for path in (place.absolute(), *place.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    enough = free >= SMALLEST_DISK
    return Finding("disk", enough, f"{free / 1e9:.1f} GB free at {there}", "" if enough else "make room, or give --out")


def _durable(place: Path) -> Finding:
    """Whether the file system of the place can be written, synced and locked."""
    there = next(path for path in (place.absolute(), *place.absolute().parents) if path.exists())
    try:
        with TemporaryDirectory(dir=there, prefix=".paring-doctor-") as name:
            write_durably(Path(name) / "file", b"content")
            descriptor = os.open(Path(name) / "lock", os.O_RDWR | os.O_CREAT)
            try:
                lock_descriptor(descriptor, blocking=False)
            finally:
                os.close(descriptor)
    except OSError as error:
        return Finding("file system", False, f"{there}: {error.strerror}", "choose another folder with --out")
    return Finding("file system", True, f"{there} can be written, synced and locked")


def _crash_and_resume() -> Finding:
    """A small run is killed after its first checkpoint and resumed: it must end with the bytes of one left alone."""
    start = time.monotonic()
    with TemporaryDirectory(prefix="paring-doctor-") as name:
        whole, killed = Path(name) / "whole", Path(name) / "killed"
        for step in (
            lambda: _run("train", "quickstart", *TINY, "--out", str(whole)),
            lambda: _killed("train", "quickstart", *TINY, "--out", str(killed), at=killed / "checkpoints/step-000001"),
            lambda: _run("train", "--resume", str(killed)),
        ):
            if (fault := step()) is not None:
                return Finding("crash and resume", False, fault, "report it, with this output")
        weights = "adapter/adapter_model.safetensors"
        same = sha256_of(whole / weights) == sha256_of(killed / weights)
    words = f"{'the same' if same else 'OTHER'} bytes after kill -9 and --resume, {time.monotonic() - start:.0f} s"
    return Finding("crash and resume", same, words, "" if same else "report it, with this output")


def _start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "paring", *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _run(*arguments: str) -> str | None:
    """What went wrong, in words; None where nothing did."""
    process = _start(*arguments)
    try:
        _, said = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return f"paring {arguments[0]} took more than {PATIENCE:.0f} s"
    return None if process.returncode == 0 else one_line(said, 300) or f"exit code {process.returncode}"


def _killed(*arguments: str, at: Path) -> str | None:
    """Run until the checkpoint `at` is there, then kill. That a fast run ends before is no fault."""
    process, until = _start(*arguments), time.monotonic() + PATIENCE
    while process.poll() is None and not at.exists() and time.monotonic() < until:
        time.sleep(0.002)
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
    _, said = process.communicate()
    return None if at.exists() else one_line(said, 300) or "the run saved no checkpoint"
