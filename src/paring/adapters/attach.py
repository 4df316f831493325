"""Walks a model: puts low-rank adapters on its linear modules, takes them off, merges them, reads and loads them."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Literal, Protocol, runtime_checkable

import torch
from pydantic import Field, Strict
from torch import Tensor, nn

from paring.adapters.lowrank import LinearLike, LowRankLinear, plain_scale, rank_stabilised_scale
from paring.settings import Count, Positive, Share, settings

# Strict settings take a list for a tuple only where told so, and TOML knows lists alone.
Names = Annotated[tuple[str, ...], Strict(False), Field(min_length=1)]
Adapters = Mapping[str, LowRankLinear]
"""Adapters by the path of the module that each stands on, in the model's order."""


@settings
class Lora:
    """Low-rank adapters of one rank on all targets (LoRA, arXiv 2106.09685).

    `targets` are "all-linear" (every linear module but the output embeddings) or module names: whole paths or their
    last components, as in PEFT. `start` is a PEFT LoRA folder to start from; peft_format.attach_from_peft reads it.
    """

    kind: Literal["lora"] = "lora"
    rank: Count = 8
    alpha: Positive = 16.0
    dropout: Share = 0.0
    scaling: Literal["plain", "rank-stabilised"] = "plain"
    targets: Literal["all-linear"] | Names = "all-linear"
    start: str | None = None

    @property
    def scale(self) -> float:
        """s in y = W x + s B A x."""
        rule = plain_scale if self.scaling == "plain" else rank_stabilised_scale
        return rule(self.alpha, self.rank)


@runtime_checkable
class EmbeddingModel(Protocol):
    """A model that tells its token embeddings and its output embeddings (the head), as those of transformers do."""

    def get_input_embeddings(self) -> nn.Module: ...

    def get_output_embeddings(self) -> nn.Module | None: ...


def attach(model: nn.Module, adapter: Lora, *, seed: int) -> dict[str, LowRankLinear]:
    """Put an adapter on each targeted module, in place, and freeze all else. Returns module path -> adapter.

    The first values of an adapter depend on (seed, module path) alone. Raises ValueError, the model untouched, if it
    has adapters already, if a target matches nothing, or if one is an output embedding tied to the input's.
    """
    if adapters_of(model):
        raise ValueError("the model has adapters already: detach or merge them before attaching others")
    modules = targeted_modules(model, adapter.targets)
    model.requires_grad_(False)
    for path, base in modules.items():
        generator = _generator(seed, path)
        low_rank = LowRankLinear(
            base, rank=adapter.rank, scale=adapter.scale, dropout=adapter.dropout, generator=generator
        )
        model.set_submodule(path, low_rank)
    return adapters_of(model)


def linear_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Path -> module of all that can carry an adapter, output embeddings included, in the model's order."""
    return {path: module for path, module in model.named_modules() if path and isinstance(module, LinearLike)}


def targeted_modules(model: nn.Module, targets: Literal["all-linear"] | tuple[str, ...]) -> dict[str, nn.Module]:
    """Path -> module of the linear modules that `targets` choose, in the model's order; see Lora for their meaning.

    Raises ValueError if a target matches nothing, or if one is an output embedding tied to the input's.
    """
    head = model.get_output_embeddings() if isinstance(model, EmbeddingModel) else None
    linear = linear_modules(model)
    if targets == "all-linear":
        chosen = {path: module for path, module in linear.items() if module is not head}
        if not chosen:
            raise ValueError("targets='all-linear' matches nothing: the model has no module with in_ and out_features")
        return chosen
    for target in targets:
        if not any(_matches(path, target) for path in linear):
            names = ", ".join(sorted({path.rpartition(".")[2] for path in linear}))
            raise ValueError(f"target {target!r} matches no linear module of the model, whose last names are: {names}")
    chosen = {path: module for path, module in linear.items() if any(_matches(path, target) for target in targets)}
    if head is not None and any(module is head for module in chosen.values()) and _is_tied(model):
        raise ValueError("targets include the output embeddings, which share the weight of the input's: leave them out")
    return chosen


def adapters_of(model: nn.Module) -> dict[str, LowRankLinear]:
    """Module path -> adapter, in the model's order."""
    return {path: module for path, module in model.named_modules() if isinstance(module, LowRankLinear)}


def detach(model: nn.Module) -> None:
    """Put the bases back in place of their adapters, unchanged and still frozen."""
    for path, adapter in adapters_of(model).items():
        model.set_submodule(path, adapter.base)


def merge(model: nn.Module) -> None:
    """Put merged bases (W + s B A) in place of the adapters.

    Raises ValueError, the model untouched, if a base is not a dense nn.Linear.
    """
    adapters = adapters_of(model)
    for adapter in adapters.values():
        adapter.require_dense()
    for path, adapter in adapters.items():
        model.set_submodule(path, adapter.merge())


@contextmanager
def switched_off(model: nn.Module) -> Iterator[None]:
    """Within it the model computes as if it had no adapters; afterwards each is as it was before."""
    before = [(adapter, adapter.enabled) for adapter in adapters_of(model).values()]
    try:
        for adapter, _ in before:
            adapter.enabled = False
        yield
    finally:
        for adapter, enabled in before:
            adapter.enabled = enabled


def state(adapters: Adapters) -> dict[str, Tensor]:
    """`<path>.A` [rank, in] and `<path>.B` [out, rank] of each adapter: the live values, to be cloned if kept."""
    return {name: parameter.detach() for name, parameter in parameters_by_name(adapters).items()}


@torch.no_grad()
def load_state(adapters: Adapters, tensors: Mapping[str, Tensor]) -> None:
    """Copy `tensors`, named as by `state`, into the adapters.

    Raises ValueError, nothing copied, listing up to five tensors that are missing, unknown or of another shape.
    """
    parameters = parameters_by_name(adapters)
    mismatches = [f"{name} is missing" for name in parameters if name not in tensors]
    mismatches += [f"{name} belongs to no adapter" for name in tensors if name not in parameters]
    mismatches += [
        f"{name} is {list(tensors[name].shape)}, not {list(parameter.shape)}"
        for name, parameter in parameters.items()
        if name in tensors and tensors[name].shape != parameter.shape
    ]
    if mismatches:
        raise ValueError(f"the tensors do not fit the adapters ({first_five(mismatches)})")
    for name, parameter in parameters.items():
        parameter.copy_(tensors[name])


def first_five(complaints: list[str]) -> str:
    """The first five complaints in one line, and how many more there are."""
    rest = len(complaints) - 5
    return "; ".join(complaints[:5]) + (f"; and {rest} more" if rest > 0 else "")


def parameters_by_name(adapters: Adapters) -> dict[str, nn.Parameter]:
    """`<path>.A` and `<path>.B` of each adapter, in the model's order: all that is trained."""
    parameters = {}
    for path, adapter in adapters.items():
        parameters[f"{path}.A"] = adapter.A_RI
        parameters[f"{path}.B"] = adapter.B_OR
    return parameters


def _matches(path: str, target: str) -> bool:
    """PEFT's rule for a list of targets: the whole path, or its last components."""
    return path == target or path.endswith(f".{target}")


def _is_tied(model: EmbeddingModel) -> bool:
    inputs = {id(parameter) for parameter in model.get_input_embeddings().parameters()}
    return any(id(parameter) in inputs for parameter in model.get_output_embeddings().parameters())


def _generator(seed: int, path: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed} {path}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8]))
