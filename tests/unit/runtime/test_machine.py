"""Memory, versions and the stopwatch."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from paring.runtime.machine import (
    Stopwatch,
    all_cpus,
    available_cpus,
    main_memory,
    peak_memory_gb,
    threads_for,
    versions,
)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peak_memory_agrees_with_the_kernel():
    held = b"x" * 50_000_000
    status = Path("/proc/self/status").read_text()
    peak_kib = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])
    assert len(held) / 1e9 < 0.98 * peak_kib * 1024 / 1e9 <= peak_memory_gb() < 100


def test_a_container_s_bound_is_what_a_process_may_use(tmp_path):
    bound = tmp_path / "memory.max"
    whole = main_memory(bound)
    for text, expected in (("max\n", whole), ("1000000\n", 1_000_000), (f"{10 * whole}\n", whole)):
        bound.write_text(text)
        assert main_memory(bound) == expected


def test_what_windows_does_not_say_is_not_known(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    assert peak_memory_gb() is None
    with pytest.raises(ValueError, match="name it, such as --memory 16"):
        main_memory()
    assert all_cpus() == os.cpu_count()


def test_versions_are_those_that_are_imported():
    found = versions()
    assert list(found) == ["python", "torch", "transformers", "paring"]
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert re.fullmatch(r"\d+\.\d+.*", found["transformers"])


def test_nothing_heavy_is_imported_by_the_light_rooms():
    code = (
        "import sys, paring.runtime.machine, paring.runtime.screen, paring.runtime.journal, paring.runtime.lock\n"
        "paring.runtime.machine.versions(); paring.runtime.screen.Screen().note('')\n"
        "print(sorted({'torch', 'transformers', 'rich', 'safetensors'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n[]\n"


def test_the_stopwatch_adds_up_by_phase_and_survives_errors():
    times = iter([-1.0, 0.0, 1.5, 10.0, 12.0, 20.0, 20.25, 21.0])
    watch = Stopwatch(lambda: next(times))
    with watch("rollout"):
        pass
    with pytest.raises(ZeroDivisionError), watch("training"):
        raise ZeroDivisionError
    with watch("rollout"):
        pass
    assert watch.seconds == {"rollout": 1.75, "training": 2.0}
    assert watch.elapsed() == 22.0


@pytest.fixture
def unbound(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")


def test_a_small_model_gets_one_thread_and_a_large_one_all_cpus(unbound):
    assert threads_for(342_336) == 1
    assert threads_for(134_515_008) == available_cpus() >= 1


@pytest.mark.parametrize(
    ("quota", "most"), [("max 100000", 10**6), ("100000 100000", 1), ("50000 100000", 1), ("250000 100000", 2)]
)
def test_a_container_s_quota_counts(unbound, tmp_path, quota, most):
    file = tmp_path / "cpu.max"
    unbounded = available_cpus(tmp_path / "no such file")
    file.write_text(quota + "\n")
    assert available_cpus(file) == min(unbounded, most)
