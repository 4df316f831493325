"""Walks a model: puts low-rank adapters on its linear modules, takes them off, merges them, reads and loads them."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from paring.adapters.dora import DoraLinear
from paring.adapters.first_rows import Draw
from paring.adapters.kinds import Adapter, Dora, Gated, Lora
from paring.adapters.linear import features_of, has_dense_weight
from paring.adapters.lowrank import LowRankLinear
from paring.adapters.ranks import RankPlan
from paring.adapters.targets import targeted_modules

Adapters = Mapping[str, LowRankLinear]
"""Adapters by the path of the module that each stands on, in the model's order."""


def attach(model: nn.Module, adapter: Adapter, *, seed: int) -> dict[str, LowRankLinear]:
    """Put an adapter on each targeted module, in place, and freeze all else. Returns module path -> adapter.

    The first values of an adapter depend on (seed, module path) alone. Raises ValueError, the model untouched, if it
    has adapters already, and as `targeted_modules` and `Lora.ranks_on` do: a target that matches nothing, or cannot
    carry an adapter, or a rank that does not fit.
    """
    if adapters_of(model):
        raise ValueError("the model has adapters already: detach or merge them before attaching others")
    modules = targeted_modules(model, adapter.targets)
    ranks = ranks_to_attach(adapter, modules)
    if isinstance(adapter, Dora):
        _check_dense({path: modules[path] for path in ranks})
    model.requires_grad_(False)
    for path, rank in ranks.items():
        own = {"scale": adapter.scale, "draw": adapter.draw, "dropout": adapter.dropout}
        generator = _generator(seed, path)
        if isinstance(adapter, Dora):
            layer = DoraLinear(modules[path], rank=rank, generator=generator, **own)
        else:
            gated = isinstance(adapter, Gated)
            layer = LowRankLinear(modules[path], rank=rank, generator=generator, gated=gated, **own)
        model.set_submodule(path, layer)
    return adapters_of(model)


def _check_dense(modules: Mapping[str, nn.Module]) -> None:
    """Raises ValueError where a weight cannot be read, whose rows DoRA measures."""
    odd = [f"{path} ({type(module).__name__})" for path, module in modules.items() if not has_dense_weight(module)]
    if odd:
        raise ValueError(
            f'adapter.kind = "dora" measures the rows of the weights, which must be dense: not so {first_five(odd)}; '
            'load the model without quantisation, or use adapter.kind = "lora"'
        )


def ranks_to_attach(adapter: Adapter, modules: Mapping[str, nn.Module]) -> dict[str, int]:
    """Path -> rank of the adapters that these modules get; one of rank 0 gets none."""
    features = {path: found for path, module in modules.items() if (found := features_of(module)) is not None}
    if isinstance(adapter, Lora):
        return adapter.ranks_on(features)
    return dict.fromkeys(features, adapter.first_rank)


def adapters_of(model: nn.Module) -> dict[str, LowRankLinear]:
    """Module path -> adapter, in the model's order."""
    return {path: module for path, module in model.named_modules() if isinstance(module, LowRankLinear)}


def detach(model: nn.Module) -> None:
    """Put the bases back in place of their adapters, unchanged and still frozen."""
    for path, adapter in adapters_of(model).items():
        model.set_submodule(path, adapter.base)


def merge(model: nn.Module) -> None:
    """Put merged bases (W + s B diag(c) A) in place of the adapters.

    Raises ValueError, the model untouched, if a base is not dense, or if another module has its weight too.
    """
    adapters = adapters_of(model)
    places = Counter(id(module.weight) for module in model.modules() if isinstance(module, nn.Linear))
    for path, adapter in adapters.items():
        if places[id(adapter.dense_base().weight)] > 1:
            raise ValueError(
                f"{path} shares its weight with another module, so its adapter cannot be merged into it. The way "
                "round: export the adapter, without --merged"
            )
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


def ranks_of(adapters: Adapters) -> dict[str, int]:
    """Module path -> rank."""
    return {path: adapter.rank for path, adapter in adapters.items()}


def published_parameters(adapters: Adapters) -> int:
    """Parameters of the adapters when they are published: those of A, B and m, for gates are folded into them."""
    return sum(one.numel() for name, one in parameters_by_name(adapters).items() if not name.endswith(".c"))


def set_ranks(adapters: Adapters, ranks: Mapping[str, int]) -> None:
    """Give the adapters these ranks, to be filled by `load_state`. Raises ValueError, nothing changed, where a module
    has no adapter, or an adapter no rank."""
    odd = sorted(adapters.keys() ^ ranks.keys())
    if odd:
        raise ValueError(f"the rank map is of another model: {len(odd)} modules differ, such as {odd[0]}")
    for path, rank in ranks.items():
        adapter = adapters[path]
        kept = range(min(rank, adapter.rank))
        adapter.resize(kept, adapter.A_RI.new_zeros(rank - len(kept), adapter.in_features))


def gates_of(adapters: Adapters) -> dict[str, tuple[float, ...]]:
    """The gates of each adapter; all must be gated."""
    gates = {}
    for path, adapter in adapters.items():
        assert adapter.c_R is not None, f"{path} has no gates"
        gates[path] = tuple(adapter.c_R.tolist())
    return gates


def apply_plan(adapters: Adapters, plan: RankPlan, draw: Draw, *, seed: int, step: int) -> None:
    """Move the ranks as planned, in place. New rows of A are drawn by `draw` as a function of (seed, step, path).
    The optimiser's state must be moved as well: Optimiser.transplant."""
    for path, move in plan.moves.items():
        adapter = adapters[path]
        adapter.resize(move.kept, draw(move.grown, adapter.in_features, _generator(seed, f"{path} {step}")))


def state(adapters: Adapters) -> dict[str, Tensor]:
    """`<path>.A` [rank, in], `<path>.B` [out, rank] and, of the gated, `<path>.c` [rank], of DoRA `<path>.m` [out] of
    each adapter: the live values, to be cloned if kept."""
    return {name: parameter.detach() for name, parameter in parameters_by_name(adapters).items()}


@torch.no_grad()
def load_state(adapters: Adapters, tensors: Mapping[str, Tensor]) -> None:
    """Copy `tensors`, named as by `state`, into the adapters.

    Raises ValueError, nothing copied, listing up to five tensors that are missing, unknown, of another shape, or no
    floating-point numbers.
    """
    parameters = parameters_by_name(adapters)
    mismatches = [f"{name} is missing" for name in parameters if name not in tensors]
    mismatches += [f"{name} belongs to no adapter" for name in tensors if name not in parameters]
    mismatches += [
        f"{name} is {list(tensors[name].shape)}, not {list(parameter.shape)}"
        for name, parameter in parameters.items()
        if name in tensors and tensors[name].shape != parameter.shape
    ]
    mismatches += [f"{name} is {tensor.dtype}" for name, tensor in tensors.items() if not tensor.is_floating_point()]
    if mismatches:
        raise ValueError(f"the tensors do not fit the adapters ({first_five(mismatches)})")
    for name, parameter in parameters.items():
        parameter.copy_(tensors[name])


@contextmanager
def exchanged(adapters: Adapters, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Within it the adapters hold `tensors`, named and shaped as by `state`; afterwards their own values again."""
    parameters = parameters_by_name(adapters)
    own = {name: parameter.data for name, parameter in parameters.items()}
    try:
        for name, parameter in parameters.items():
            parameter.data = tensors[name]
        yield
    finally:
        for name, parameter in parameters.items():
            parameter.data = own[name]


def first_five(complaints: list[str]) -> str:
    """The first five complaints in one line, and how many more there are."""
    rest = len(complaints) - 5
    return "; ".join(complaints[:5]) + (f"; and {rest} more" if rest > 0 else "")


def parameters_by_name(adapters: Adapters) -> dict[str, nn.Parameter]:
    """`<path>.A`, `<path>.B` and, of the gated, `<path>.c`, of DoRA `<path>.m` of each adapter, in the model's order:
    all that is trained."""
    parameters = {}
    for path, adapter in adapters.items():
        parameters[f"{path}.A"] = adapter.A_RI
        parameters[f"{path}.B"] = adapter.B_OR
        if adapter.c_R is not None:
            parameters[f"{path}.c"] = adapter.c_R
        if isinstance(adapter, DoraLinear):
            parameters[f"{path}.m"] = adapter.m_O
    return parameters


def _generator(seed: int, path: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed} {path}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8]))
