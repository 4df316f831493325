"""From a run's settings to the job and the machine that they mean."""

import sys
from math import inf
from typing import Any

import torch

from paring.adapters.kinds import L1ra
from paring.config import AnyRun, Run
from paring.planning.estimate import Machine
from paring.planning.job import Examples, Job, Kind, Rollouts
from paring.planning.shapes import Linear, Shapes
from paring.policy.packing import TILE
from paring.rollout.kernels import kernel_for
from paring.runtime.machine import main_memory

PROMPT = 128
"""Tokens of a prompt, where the user says nothing else: GSM8K's questions have 60 to 150."""
PROCESS = 450_000_000
"""Python, torch, transformers and a tokenizer, before there are weights. Measured: 0.987e9 bytes resident after
`prepare` with SmolLM2-135M, of which its weights are 0.538e9 (docs/planning.md)."""
CUDA_CONTEXT = 500_000_000
"""Assumed, not measured: CUDA's context and the libraries' workspaces."""
COPIES = {"plain": 0, "onednn": 1, "mkl": 2}
"""How often a rollout holds the layers' weights anew: packed; MKL's products ask for the plain ones as well."""


def job_of(run: AnyRun, shapes: Shapes, targets: tuple[Linear, ...], kind: Kind, *, prompt: int | None) -> Job:
    """What the run does with a model of these shapes, with adapters of `kind`."""
    adapter, dtype, on_gpu = run.adapter, getattr(torch, run.model.dtype), is_on_gpu(run)
    dense = run.model.quantisation == "none"
    kernel = kernel_for(torch.device("cpu"), dtype) if shapes.written_out and dense and not on_gpu else "plain"
    work = work_of(run, shapes, prompt)
    return Job(
        kind=kind,
        rank=adapter.rank,
        targets=targets,
        work=work,
        tokens_per_pass=run.optimiser.tokens_per_pass,
        activation_bytes=run.optimiser.activation_bytes if shapes.written_out else inf,
        itemsize=dtype.itemsize,
        quantisation=run.model.quantisation if kind != "full" else "none",
        copies=COPIES[kernel],
        **_rollout(run, records=kernel != "plain"),
        fused=on_gpu and work.largest_pass(run.optimiser.tokens_per_pass).tokens > TILE,
        **_l1ra(adapter, kind),
    )


def work_of(run: AnyRun, shapes: Shapes, prompt: int | None) -> Rollouts | Examples:
    """Raises ValueError where prompt and answer do not fit the model's context."""
    if not isinstance(run, Run):
        return Examples(run.batch, min(run.data.longest, shapes.context))
    rollout = run.rollout
    room = shapes.context - rollout.max_new_tokens
    if room < max(1, prompt or 1):
        raise ValueError(
            f"prompts of {prompt or 1} tokens and rollout.max_new_tokens = {rollout.max_new_tokens} exceed the model's "
            f"context of {shapes.context} tokens: lower max_new_tokens"
        )
    prompt = prompt or min(PROMPT, room)
    return Rollouts(rollout.problems, rollout.group_size, prompt, rollout.max_new_tokens, rollout.rows)


def _rollout(run: AnyRun, *, records: bool) -> dict[str, Any]:
    """What a rollout keeps for the update, and how many steps are made from it."""
    if not isinstance(run, Run):
        return {}
    return {
        "record_bytes": run.record_bytes if records else 0.0,
        "steps": run.rollout.updates * run.rollout.minibatches,
    }


def machine_of(run: AnyRun, memory_gb: float | None) -> Machine:
    """This machine, or one of so many 10^9 bytes. Raises ValueError where there is no GPU to ask."""
    on_gpu = is_on_gpu(run)
    if memory_gb is None and on_gpu and not torch.cuda.is_available():
        raise ValueError('model.device = "cuda": torch sees no GPU here; say how much memory it has: --memory 24')
    if memory_gb is not None:
        memory = round(memory_gb * 1e9)
    else:
        memory = torch.cuda.get_device_properties(0).total_memory if on_gpu else main_memory()
    name, process = ("GPU", CUDA_CONTEXT) if on_gpu else ("CPU", PROCESS)
    return Machine(name, memory, process, reuses=on_gpu or sys.platform != "linux")


def is_on_gpu(run: AnyRun) -> bool:
    """A GPU may be planned for where there is none."""
    return run.model.device == "cuda" or (run.model.device == "auto" and torch.cuda.is_available())


def _l1ra(adapter: Any, kind: Kind) -> dict[str, Any]:
    """L1RA's own settings: the run's where it has them, else the defaults of its kind."""
    if kind == "l1ra-reference":
        return {"budget": "ranks"}
    given = adapter if isinstance(adapter, L1ra) else L1ra()
    return {"budget": given.budget, "floor": given.floor, "cap": given.cap if isinstance(adapter, L1ra) else 0}
