"""Facts of the GPU that a run uses: memory, a stopwatch that waits for it, and the types that it multiplies fast."""

from collections.abc import Callable
from functools import partial

import torch

from paring.runtime.machine import Stopwatch, number_here, processes_here


def device_named(name: str) -> torch.device:
    """The device that `model.device` names. Several processes on one machine have a GPU each.

    Raises ValueError where there is none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError('model.device = "cuda": torch sees no GPU here; use "auto" or "cpu"')
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    if (number := number_here()) >= (gpus := torch.cuda.device_count()):
        raise ValueError(
            f"{processes_here()} processes on this machine, which has GPUs for {gpus}: give torchrun "
            f"--nproc-per-node {gpus}"
        )
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def stopwatch(device: torch.device, notice: Callable[[str], None] | None = None) -> Stopwatch:
    """Seconds by phase on this device; `notice` is told of each phase. A GPU works behind Python's back: the clock is
    read once it has caught up, at the bounds of each phase and nowhere within: no phase pays for the one before."""
    settle = partial(torch.cuda.synchronize, device) if device.type == "cuda" else None
    return Stopwatch(settle=settle, notice=notice)


def begin_peaks(device: torch.device) -> None:
    """Peaks of memory count from here on."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peaks(device: torch.device) -> dict[str, float]:
    """By the names of the journal's glossary, in 10^9 bytes: the most memory of the GPU that tensors have taken since
    `begin_peaks`, and the most that torch has held for them. Nothing on a CPU."""
    if device.type != "cuda":
        return {}
    return {
        "gpu_memory_gb": torch.cuda.max_memory_allocated(device) / 1e9,
        "gpu_reserved_gb": torch.cuda.max_memory_reserved(device) / 1e9,
    }


def multiplies_bf16() -> bool:
    """Whether the GPU has matrix units for bf16, as NVIDIA's have from compute capability 8.0 on; they take fp32 as
    TF32 as well. A GPU that is planned for and not here is taken to have them."""
    return not torch.cuda.is_available() or torch.cuda.is_bf16_supported(including_emulation=False)


def free_bytes(device: torch.device) -> int:
    """Bytes of the GPU that new tensors may take: what the driver has left, and what torch holds and does not use."""
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused
