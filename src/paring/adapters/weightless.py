"""Runs a model that stands on the meta device: its tensors become zeros that take no memory."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

SMALL = 2**20
"""Up to so many numbers a tensor is a plain one, which can be written to."""
PRODUCTS: frozenset[object] = frozenset(
    {
        functional.linear, torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm, torch.mm, Tensor.mm,
        torch.addmm, torch.baddbmm,
        torch._grouped_mm,  # pyright: ignore[reportPrivateImportUsage]  what functional.grouped_mm calls
    }
)  # fmt: skip


@contextmanager
def weightless(model: nn.Module) -> Iterator[None]:
    """Within it every tensor of the model that is on the meta device is one of zeros on the CPU, a large one with all
    strides 0, and products with these are zeros that are not computed. A model elsewhere is left as it is."""
    places: list[tuple[dict[str, object], str, Tensor]] = [
        (cast("dict[str, object]", holder), name, value)
        for module in model.modules()
        for holder in (module._parameters, module._buffers, vars(module))
        for name, value in holder.items()
        if isinstance(value, Tensor) and value.is_meta
    ]
    if not places:
        yield
        return
    known: dict[int, Tensor] = {}
    try:
        for holder, name, value in places:
            holder[name] = known.setdefault(id(value), _zeros(value))
        with _Products():
            yield
    finally:
        for holder, name, value in places:
            holder[name] = value


def _zeros(meta: Tensor) -> Tensor:
    if meta.numel() <= SMALL:
        zeros = torch.zeros(meta.shape, dtype=meta.dtype)
    else:
        zeros = torch.zeros((), dtype=meta.dtype).expand(meta.shape)
    return nn.Parameter(zeros, requires_grad=False) if isinstance(meta, nn.Parameter) else zeros


class _Products(TorchFunctionMode):
    """A product with a large tensor of zeros is zeros, of the shape that the meta device gives."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        named = dict(kwargs or {})
        if not any(_is_weightless(one) for one in args):
            return func(*args, **named)
        name = getattr(func, "__name__", "")
        if name.endswith("_") and not name.endswith("__") and _is_weightless(args[0]):
            return args[0]  # written in place: it stays zero
        if func not in PRODUCTS:
            return func(*args, **named)
        shape = func(*(_on_meta(one) for one in args), **{name: _on_meta(one) for name, one in named.items()})
        assert isinstance(shape, Tensor)
        zeros = torch.zeros(shape.shape, dtype=next(one.dtype for one in args if isinstance(one, Tensor)))
        for one in args:
            if isinstance(one, Tensor) and one.requires_grad:
                zeros = zeros + 0 * one.sum()  # the graph goes on
        return zeros


def _is_weightless(value: object) -> bool:
    return isinstance(value, Tensor) and value.numel() > 1 and not any(value.stride())


def _on_meta(value: object) -> Any:
    if not isinstance(value, Tensor):
        return value
    # The one type of which every product has a shape there.
    return value.detach().to("meta", torch.bfloat16 if value.is_floating_point() else None)
