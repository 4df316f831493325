"""The same work on the same tensors, again and again: on a GPU captured once as a CUDA graph and replayed.

Without one, Python hands each of a decoding step's thousand kernels to the device by itself, which takes longer than
most of them run."""

import warnings
from collections.abc import Callable

import torch


class Graphs:
    """Runs `work`, whose tensors have the same places and sizes for the same `sizes`. On a CPU it is called.

    The first run of each size is plain, so that all that is made on first use is there; the second is captured. Work
    that cannot be captured, such as one that waits for the device, runs plainly ever after."""

    def __init__(self, work: Callable[[], None], device: torch.device) -> None:
        self.work = work
        self.plainly = device.type != "cuda"
        self._graphs: dict[tuple[int, ...], torch.cuda.CUDAGraph | None] = {}
        self._pool = None if self.plainly else torch.cuda.graph_pool_handle()

    def run(self, *sizes: int) -> None:
        if self.plainly or sizes not in self._graphs:
            self._graphs[sizes] = None
            self.work()
            return
        graph = self._graphs[sizes] or self._captured()
        self._graphs[sizes] = graph
        if graph is None:
            self.work()
        else:
            graph.replay()

    def _captured(self) -> torch.cuda.CUDAGraph | None:
        """The work as a graph; it is recorded and not done. None where it cannot be."""
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self._pool):
                self.work()
        except RuntimeError as error:
            self.plainly = True
            reason = str(error).strip().split("\n")[0]
            warnings.warn(f"decoding runs without CUDA graphs, which is slower: {reason}", stacklevel=2)
            return None
        return graph
