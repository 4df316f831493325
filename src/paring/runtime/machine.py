"""Facts of the machine: peak memory, CPUs, a free port, versions; and the seconds of each phase of a step."""

import os
import platform
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

SMALL_MODEL = 5_000_000
"""Parameters below which a second thread gains nothing."""
VECTORS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16")
"""Instructions by their names in /proc/cpuinfo."""
_MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024


def peak_memory_gb() -> float | None:
    """The most main memory this process has held so far, in 10^9 bytes. Memory of a GPU is not counted. None where the
    system does not say it, as on Windows."""
    if sys.platform == "win32":
        return None
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_BYTES / 1e9


def main_memory(limit: Path = Path("/sys/fs/cgroup/memory.max")) -> int:
    """Bytes of main memory that this process may use: the machine's, or its container's where that is less.

    Raises ValueError where the system does not say it, as on Windows."""
    if sys.platform == "win32":
        raise ValueError("this system does not say how much main memory it has: name it, such as --memory 16")
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    bound = limit.read_text(encoding="ascii").strip() if limit.is_file() else "max"
    return whole if bound == "max" else min(whole, int(bound))


def cpu_kind(record: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name and those of its vector instructions that decide how products round, as far as the system
    says."""
    text = record.read_text(encoding="utf-8", errors="replace") if record.is_file() else ""
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}
    flags = fields.get("flags", fields.get("Features", "")).split()
    name = fields.get("model name") or platform.processor() or platform.machine()
    return " ".join([name, *(flag for flag in VECTORS if flag in flags)])


def versions() -> dict[str, str]:
    """Python and the packages that decide the numbers, read from their metadata: nothing heavy is imported."""
    return {"python": platform.python_version()} | {
        name: _version(name) for name in ("torch", "transformers", "paring")
    }


@cache
def _version(package: str) -> str:
    """Read once: the metadata of torch alone take milliseconds."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def number_here() -> int:
    """The number of this process among those of its run on this machine, as torchrun counts them; 0 for one alone."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def processes_here() -> int:
    """Processes of this run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def say_losses_alone() -> None:
    """Where several processes train, torch prints no stack of C++ for one that is lost: that is said in words. It acts
    before torch is imported."""
    if os.environ.get("WORLD_SIZE", "1") != "1":
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")


def may_restart() -> bool:
    """Whether torchrun would start the run's processes again where one dies."""
    return int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")) > 0


def is_restart() -> bool:
    """Whether torchrun has started this process again."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def threads_for(parameters: int) -> int:
    """The number of CPU threads that is best for a model of so many parameters: one where its products are so small
    that threads would wait for each other (docs/performance.md), else as many as there are CPUs for this process."""
    return 1 if parameters < SMALL_MODEL else available_cpus()


def most_threads() -> int:
    """The most threads that a run may ask for: more than CPUs, so that one that began elsewhere can be repeated bit by
    bit, but no number that would only wait."""
    return max(16, 4 * all_cpus())


def available_cpus(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """CPUs that one process may use for its threads: its part where several train together. OMP_NUM_THREADS, by which
    users bound it, holds; but 1 is torchrun's own word for several processes."""
    cpus = max(1, all_cpus(quota) // processes_here())
    bound = os.environ.get("OMP_NUM_THREADS", "")
    if bound == "1" and "TORCHELASTIC_RUN_ID" in os.environ:
        return cpus
    return min(cpus, max(1, int(bound))) if bound.isdecimal() else cpus


def all_cpus(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """CPUs that this process and its children may use together: torch counts the machine's, which in a container may
    be many times as many."""
    cpus = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    if quota.is_file():
        allowed, period = quota.read_text(encoding="ascii").split()
        if allowed != "max":
            cpus = min(cpus, max(1, int(allowed) // int(period)))
    return cpus


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Stopwatch:
    """Seconds by phase: `with watch("rollout"): ...`. A phase entered twice adds up; nested phases count twice.
    `settle` waits until all work that was given to a device is done; it is called before the clock is read. `notice`
    is told the name of each phase as it begins."""

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        *,
        settle: Callable[[], object] | None = None,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        self.seconds: dict[str, float] = {}
        self._clock, self._settle, self._notice = clock, settle, notice
        self._start = self._now()

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        if self._notice is not None:
            self._notice(phase)
        start = self._now()
        try:
            yield
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + self._now() - start

    def elapsed(self) -> float:
        """Seconds since this watch was made."""
        return self._now() - self._start

    def _now(self) -> float:
        if self._settle is not None:
            self._settle()
        return self._clock()
