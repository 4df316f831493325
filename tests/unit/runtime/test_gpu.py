"""Memory of a GPU and the stopwatch that waits for it, with torch's calls replaced: no GPU is needed."""

import pytest
import torch

from paring.runtime.gpu import begin_peaks, free_bytes, peaks, stopwatch
from paring.runtime.machine import Stopwatch

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def calls(monkeypatch):
    """The calls that reach torch.cuda, in order; it holds 5 GB, of which tensors take 2, and 7 are free beside."""
    made = []

    def put(name, value=None):
        def call(device):
            assert device == CUDA
            made.append(name)
            return value

        monkeypatch.setattr(torch.cuda, name, call)

    put("synchronize")
    put("reset_peak_memory_stats")
    put("max_memory_allocated", 3_000_000_000)
    put("max_memory_reserved", 5_500_000_000)
    put("memory_allocated", 2_000_000_000)
    put("memory_reserved", 5_000_000_000)
    put("mem_get_info", (7_000_000_000, 24_000_000_000))
    return made


def test_the_clock_is_read_when_the_gpu_has_caught_up_and_only_at_the_bounds(calls):
    watch = stopwatch(CUDA)
    assert calls == ["synchronize"]
    with watch("rollout"):
        assert len(calls) == 2
    watch.elapsed()
    assert calls == ["synchronize"] * 4


def test_settling_counts_for_the_phase_that_gave_the_work():
    """A phase that only hands 5 s of work to the device, and one that does nothing."""
    time, pending = [0.0], [0.0]

    def settle():
        time[0] += pending[0]
        pending[0] = 0.0

    watch = Stopwatch(lambda: time[0], settle=settle)
    with watch("training"):
        pending[0] = 5.0
    with watch("score"):
        pass
    assert watch.seconds == {"training": 5.0, "score": 0.0}
    pending[0] = 2.0
    assert watch.elapsed() == 7.0


def test_a_cpu_is_not_waited_for_and_has_no_gpu_memory(calls):
    with stopwatch(CPU)("rollout"):
        pass
    begin_peaks(CPU)
    assert peaks(CPU) == {} and calls == []


def test_peaks_are_those_since_the_beginning_of_the_step(calls):
    begin_peaks(CUDA)
    assert calls == ["reset_peak_memory_stats"]
    assert peaks(CUDA) == {"gpu_memory_gb": 3.0, "gpu_reserved_gb": 5.5}


def test_memory_that_torch_holds_and_does_not_use_is_free(calls):
    assert free_bytes(CUDA) == 7_000_000_000 + 3_000_000_000
