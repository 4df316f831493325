"""Graphs of work, with torch's capture replaced by one that records calls: no GPU is needed."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from paring.rollout.graphs import Graphs


class Recorded:
    """Stands for a CUDA graph: it keeps what was captured, and does it when replayed."""

    def __init__(self):
        self.work = None

    def replay(self):
        self.work("replayed")


@pytest.fixture
def cuda(monkeypatch):
    """`cuda.work` is what a graph runs; `cuda.fault` is raised while capturing."""

    device = SimpleNamespace(calls=[], capturing=False, fault=None, captures=0)

    def work(how="called"):
        device.calls.append("captured" if device.capturing else how)

    @contextmanager
    def capture(graph, pool):
        assert pool == "pool"
        device.captures += 1
        device.capturing = True
        try:
            yield
        finally:
            device.capturing = False
        graph.work = work
        if device.fault is not None:
            raise device.fault

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Recorded)
    monkeypatch.setattr(torch.cuda, "graph", capture)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool")
    device.work = work
    return device


def test_work_is_done_once_a_run_and_captured_once_for_each_size(cuda):
    graphs = Graphs(cuda.work, torch.device("cuda"))
    for sizes in [(4, 128), (4, 128), (4, 128), (2, 128), (4, 128), (2, 128)]:
        graphs.run(*sizes)
    assert [call for call in cuda.calls if call != "captured"] == [
        "called",
        *["replayed"] * 2,
        "called",
        *["replayed"] * 2,
    ]
    assert cuda.captures == 2


def test_what_cannot_be_captured_is_done_plainly_and_said_once(cuda):
    cuda.fault = RuntimeError("operation not permitted when stream is capturing\nmore")
    graphs = Graphs(cuda.work, torch.device("cuda"))
    graphs.run(4, 128)
    with pytest.warns(UserWarning, match="without CUDA graphs, which is slower: operation not permitted") as warned:
        for _ in range(3):
            graphs.run(4, 128)
        graphs.run(2, 128)
        graphs.run(2, 128)
    assert len(warned) == cuda.captures == 1
    assert [call for call in cuda.calls if call != "captured"] == ["called"] * 6


def test_on_a_cpu_work_is_called(cuda):
    graphs = Graphs(cuda.work, torch.device("cpu"))
    graphs.run(1)
    graphs.run(1)
    assert cuda.calls == ["called"] * 2
