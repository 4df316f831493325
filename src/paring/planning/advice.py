"""Changes of a run that save memory: settings as they are typed, most effect first."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from paring.planning.estimate import Estimate
from paring.planning.hardware import is_on_gpu
from paring.policy.loading import DTYPES, precision
from paring.settings.recipes import override
from paring.training.config import AnyRun, Run, as_plain, validate
from paring.types import Json

LEAST_SAVING = 0.01
"""Share of the peak below which a change is not worth its line."""
SMALLEST_PASS = 64
"""Packed tokens below which a pass would be mostly overhead."""


@dataclass(frozen=True)
class Change:
    """An override as it is typed, the bytes that it saves, whether it alone is enough, and its price in words."""

    override: str
    saves: int
    enough: bool
    price: str


def savings(
    run: AnyRun, estimated: Callable[[AnyRun], Estimate], usable: int, most_activations: int, *, bounded: bool
) -> list[Change]:
    """Single changes that save something, by their effect. `bounded`: whether activations_gb acts on this model."""
    before = estimated(run).peak
    changes = []
    for key, value, price in _candidates(run, most_activations, bounded=bounded):
        try:
            after = estimated(changed(run, key, value)).peak
        except ValueError:
            continue  # not a recipe that could be trained, such as a rank below L1RA's floor
        if before - after >= LEAST_SAVING * before:
            changes.append(Change(f"{key}={value}", before - after, after <= usable, price))
    return sorted(changes, key=lambda change: -change.saves)


def changed(run: AnyRun, key: str, value: Json) -> AnyRun:
    """The run with one setting changed. Raises RecipeError."""
    data = as_plain(run)
    override(data, key, value)
    return validate(data, source=key)


def _candidates(run: AnyRun, most_activations: int, *, bounded: bool) -> Iterator[tuple[str, Json, str]]:
    tokens = run.optimiser.tokens_per_pass
    if tokens // 2 >= SMALLEST_PASS:
        yield "optimiser.tokens_per_pass", tokens // 2, "more passes a step; the gradient stays the same"
    if bounded:
        gigabytes = round(most_activations / 2e9, 2)
        if gigabytes > 0 and gigabytes < (run.optimiser.activations_gb or gigabytes + 1):
            yield "optimiser.activations_gb", gigabytes, "computes layers again, up to a third more work in training"
    if DTYPES[precision(run.model, "cuda" if is_on_gpu(run) else "cpu")] == torch.float32:
        yield "model.dtype", "bfloat16", "coarser numbers; fast where the CPU or GPU multiplies in bf16"
    if run.model.quantisation == "none":
        yield "model.quantisation", "4bit", "coarser weights; needs bitsandbytes"
        yield "model.quantisation", "8bit", "coarser weights; needs bitsandbytes"
    if run.parallel.shard == "none":
        yield "parallel.shard", "layers", "every pass gathers the base from the other processes"
    if run.adapter.rank > 1:
        yield "adapter.rank", run.adapter.rank // 2, "a smaller adapter"
    if isinstance(run, Run):
        rows = min(run.rollout.rows, run.rollout.problems * run.rollout.group_size)
        if rows // 2 >= run.rollout.group_size:
            yield "rollout.rows", rows // 2, "slower rollouts; the answers stay the same"
        yield "rollout.record_gb", 0, "the forward pass is computed again: about a third more work in training"
        if run.rollout.problems > 1:
            yield "rollout.problems", run.rollout.problems // 2, "fewer problems a step"
        yield "rollout.max_new_tokens", max(1, run.rollout.max_new_tokens // 2), "shorter answers"
    else:
        yield "data.longest", max(2, run.data.longest // 2), "longer examples are left out"
        if run.batch > 1:
            yield "batch", run.batch // 2, "fewer examples a step"
