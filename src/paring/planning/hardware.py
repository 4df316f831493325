"""The machine of a plan: its memory, and what a process takes of it before there is a model."""

import sys
from dataclasses import dataclass

import torch

from paring.runtime.machine import main_memory
from paring.training.config import AnyRun

PROCESS = 450_000_000
"""Python, torch, transformers and a tokenizer, before there are weights. Measured: 0.987e9 bytes resident after
`prepare` with SmolLM2-135M, of which its weights are 0.538e9 (docs/planning.md)."""
CUDA_CONTEXT = 500_000_000
"""Assumed, not measured: CUDA's context and the libraries' workspaces."""
USABLE = 0.85
"""The share of memory that a run may fill. The rest is for the error of the estimate, within 15 % where it was checked
(docs/planning.md), and for the system."""


@dataclass(frozen=True)
class Machine:
    """Bytes of memory, bytes that a process takes for itself, and whether memory that one phase frees is there for the
    next. `processes`: how many share the memory."""

    name: str
    memory: int
    process: int
    reuses: bool
    processes: int = 1

    @property
    def usable(self) -> int:
        """Bytes that one process may fill."""
        return int(self.memory * USABLE / self.processes)


def machine_of(run: AnyRun, memory_gb: float | None, processes: int = 1) -> Machine:
    """This machine, or one of so many 10^9 bytes. Processes share its memory; a GPU is of one process alone. Raises
    ValueError where there is no GPU to ask."""
    on_gpu = is_on_gpu(run)
    if memory_gb is None and on_gpu and not torch.cuda.is_available():
        raise ValueError('model.device = "cuda": torch sees no GPU here; say how much memory it has: --memory 24')
    if memory_gb is not None:
        memory = round(memory_gb * 1e9)
    else:
        memory = torch.cuda.get_device_properties(0).total_memory if on_gpu else main_memory()
    name, process = ("GPU", CUDA_CONTEXT) if on_gpu else ("CPU", PROCESS)
    shared_by = 1 if on_gpu else processes
    return Machine(name, memory, process, reuses=on_gpu or sys.platform != "linux", processes=shared_by)


def is_on_gpu(run: AnyRun) -> bool:
    """A GPU may be planned for where there is none."""
    return run.model.device == "cuda" or (run.model.device == "auto" and torch.cuda.is_available())
