"""Where in a model a module stands: its stack, its layer in it and its type, read from its path alone."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

_LONGEST_NUMBER = 6


@dataclass(frozen=True)
class Place:
    """`model.layers.3.mlp.up_proj` is of the type `up_proj`, in layer 3 of the stack `model.layers`.

    A path without a layer number has layer None and stack ""."""

    stack: str
    layer: int | None
    type: str
    family: str
    """The part of the layer that holds the module: `mlp`."""


def places(paths: Iterable[str]) -> dict[str, Place]:
    """The place of each path. A type is the last name of the path, and as many names before it as tell two types of
    one stack apart: `self_attn.q_proj` and `cross_attn.q_proj` are two.

    The layer is the first number of a path. Later numbers (experts) become `*`: their modules are of one type."""
    split = {path: _split(path) for path in paths}
    stacks: dict[str, set[tuple[str, ...]]] = {}
    for stack, _, rest in split.values():
        stacks.setdefault(stack, set()).add(rest)
    names = {stack: _shortest_names(rests) for stack, rests in stacks.items()}
    return {
        path: Place(stack, layer, names[stack][rest], ".".join(rest[:-1]))
        for path, (stack, layer, rest) in split.items()
    }


def _split(path: str) -> tuple[str, int | None, tuple[str, ...]]:
    """Stack, layer and what follows. The number of a list's own element (`projector.0`) is no layer."""
    names = path.split(".")
    for position, name in enumerate(names[:-1]):
        if _is_number(name):
            # A last number stays: `mlp.0` and `mlp.2` of a sequence are different modules of one layer.
            rest = ["*" if _is_number(name) else name for name in names[position + 1 : -1]]
            return ".".join(names[:position]), int(name), (*rest, names[-1])
    return "", None, tuple(names)


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) <= _LONGEST_NUMBER


def _shortest_names(rests: set[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """For each the shortest end that no other has; a bare number does not count as one."""
    endings = Counter(rest[-length:] for rest in rests for length in range(1, len(rest) + 1))
    names = {}
    for rest in rests:
        ends = (rest[-length:] for length in range(1, len(rest)))
        unique = (end for end in ends if endings[end] == 1 and not _is_number(end[0]))
        names[rest] = ".".join(next(unique, rest))
    return names
