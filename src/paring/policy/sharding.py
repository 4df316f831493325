"""A frozen base that is divided among processes by FSDP2: each holds a part of every layer, and all gather one layer at
a time, in a pass and in its backward.

Adapters stay whole. Passes are made by all processes together, and in the same order, or none of them ends."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, Protocol, cast, runtime_checkable
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from paring.settings.declare import settings


@settings
class Parallel:
    """What several processes that train one model divide beside the work (docs/processes.md)."""

    shard: Literal["none", "layers"] = "none"
    """layers: each process holds its part of the frozen base, and one layer at a time is gathered; for bases that do
    not fit a GPU. Answers then come from servers."""


@runtime_checkable
class Whole(Protocol):
    """A tensor that is divided among processes."""

    def full_tensor(self) -> Tensor:
        """All of it, on every process."""
        ...

    def to_local(self) -> Tensor:
        """The part of this process."""
        ...


class _Unit(Protocol):
    """What FSDP2 makes of a module."""

    def unshard(self) -> object: ...

    def reshard(self) -> None: ...


class Ends(nn.Module):
    """The embedding and the head, which are one tensor where they are tied. They are gathered for a whole pass, and not
    for its backward: what is frozen there is not asked again."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.embedding = model.get_input_embeddings()
        self.head = model.get_output_embeddings()
        self.passes = 0

    def forward(self) -> None:
        """Never called: `enter` and `leave` say when the weights are whole."""

    def enter(self, *_: object) -> None:
        """A pass begins."""
        self.passes += 1
        if self.passes == 1:
            cast("_Unit", self).unshard()

    def leave(self, *_: object) -> None:
        """A pass ends."""
        self.passes -= 1
        if self.passes == 0:
            cast("_Unit", self).reshard()


_ends: WeakKeyDictionary[nn.Module, Ends] = WeakKeyDictionary()
"""By model, of those that are divided."""


def is_sharded(model: nn.Module) -> bool:
    """Whether the base is divided among processes."""
    return model in _ends


@contextmanager
def whole_ends(model: nn.Module) -> Iterator[None]:
    """Within it the embedding and the head are whole. They always are in a model that is not divided."""
    ends = _ends.get(model)
    if ends is None:
        yield
        return
    ends.enter()
    try:
        yield
    finally:
        ends.leave()


def with_whole(layer: nn.Module, function: Callable[..., Tensor], *given: object) -> Tensor:
    """function(*given), a pass through this layer of a divided model: within it, and in its backward, the layer's
    weights are whole."""
    return cast("_Layer", layer).run_whole(function, *given)


class _Layer(Protocol):
    def run_whole(self, function: Callable[..., Tensor], *given: object) -> Tensor: ...


def _run(function: Callable[..., Tensor], *given: object) -> Tensor:
    return function(*given)


class Indivisible(ValueError):
    """A base that cannot be divided among processes, or whose parts cannot be read one by one."""


def layers_of(model: PreTrainedModel) -> nn.ModuleList:
    """The decoder's layers. Raises Indivisible where they cannot be told."""
    number = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    lists = [one for one in model.modules() if isinstance(one, nn.ModuleList) and len(one) == number]
    most = max(lists, key=_numbers, default=None)
    if most is None or 2 * (_numbers(most) + _numbers(Ends(model))) < _numbers(model):
        raise Indivisible(f"{type(model).__name__} has no list of its {number} layers that holds most of its weights")
    return most


def shard(model: PreTrainedModel, device: torch.device) -> None:
    """Divide the weights of a model on the meta device among the processes of the run, in place. What is neither in a
    layer nor at an end, such as the last norm, stays whole. Raises Indivisible as `layers_of`."""
    from torch.distributed import get_world_size
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    layers, ends = layers_of(model), Ends(model)
    mesh = init_device_mesh(device.type, (get_world_size(),))
    for layer in layers:
        # Each layer is a root of its own: a pass may begin at any of them, and ends at the first with an adapter.
        fully_shard(layer, mesh=mesh, reshard_after_forward=True)
        cast("_Layer", layer).run_whole = _run
        register_fsdp_forward_method(layer, "run_whole")
    fully_shard(ends, mesh=mesh, reshard_after_forward=True)
    model.register_forward_pre_hook(ends.enter)
    model.register_forward_hook(ends.leave, always_call=True)
    _ends[model] = ends


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor that may be divided; the processes gather it together."""
    return tensor.full_tensor() if isinstance(tensor, Whole) else tensor


def held_in_words(model: nn.Module) -> str:
    """How much of a divided base this process holds."""
    own = {id(one): one for one in model.parameters() if not one.requires_grad}
    held = sum(_here(one).numel() * one.itemsize for one in own.values())
    total = sum(one.numel() * one.itemsize for one in own.values())
    return (
        f"the base is divided: this process holds {held / 1e6:,.1f} of {total / 1e6:,.1f} MB, and gathers one layer at "
        "a time"
    )


def _here(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, Whole) else tensor


def _numbers(module: nn.Module) -> int:
    return sum(one.numel() for one in module.parameters())
