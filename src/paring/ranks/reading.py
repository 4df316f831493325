"""What a run did with its ranks: its folder -> modules, sums over them, events. No model is needed."""

import tomllib
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from paring.ranks.events import Event, check_record, read_events
from paring.ranks.places import Place, places
from paring.runtime.journal import read_rows

KINDS = ("l1ra", "l1ra-reference")
"""The kinds of adapters whose ranks move."""


@dataclass(frozen=True)
class Module:
    """An adapted module; `cost` counts the parameters of one rank."""

    path: str
    place: Place
    start: int
    end: int
    importance: float | None
    cost: int

    @property
    def change(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class Part:
    """Some modules, and the sums over them."""

    modules: tuple[Module, ...]

    @property
    def start(self) -> int:
        return sum(module.start for module in self.modules)

    @property
    def end(self) -> int:
        return sum(module.end for module in self.modules)

    @property
    def change(self) -> int:
        return self.end - self.start

    @property
    def mean(self) -> float:
        return self.end / len(self.modules)

    @property
    def low(self) -> int:
        return min(module.end for module in self.modules)

    @property
    def high(self) -> int:
        return max(module.end for module in self.modules)

    @property
    def importance(self) -> float | None:
        """The mean over the modules that have one."""
        known = [module.importance for module in self.modules if module.importance is not None]
        return sum(known) / len(known) if known else None

    @property
    def parameters_at_start(self) -> int:
        return sum(module.start * module.cost for module in self.modules)

    @property
    def parameters(self) -> int:
        return sum(module.end * module.cost for module in self.modules)

    def by(self, key: Callable[[Module], Hashable]) -> dict[Any, "Part"]:
        """Its parts, in the order of their first modules."""
        found: dict[Hashable, list[Module]] = {}
        for module in self.modules:
            found.setdefault(key(module), []).append(module)
        return {name: Part(tuple(modules)) for name, modules in found.items()}


@dataclass(frozen=True)
class Ranks:
    """The ranks of a run: where they began, every event, where they are now."""

    run: Path
    kind: str
    budget: str
    """`ranks` or `parameters`: what pruned ranks are counted in when they are given again."""
    step: int
    """The last step that the run has made."""
    all: Part
    events: tuple[Event, ...]

    @property
    def stacks(self) -> dict[str, Part]:
        """By name, in model order; under "" what stands in no layer."""
        return self.all.by(lambda module: module.place.stack)

    @property
    def types(self) -> dict[str, Part]:
        """By label: the type, with a name of its stack before it where two stacks have a type of this name."""
        return self.all.by(self.label)

    @property
    def start_rank(self) -> int | None:
        """Of every module, or None where they began with different ranks."""
        starts = {module.start for module in self.all.modules}
        return starts.pop() if len(starts) == 1 else None

    def label(self, module: Module) -> str:
        return self._labels[module.place.stack, module.place.type]

    def counted(self, counts: Mapping[str, int]) -> int:
        """Ranks by module as one number in the unit of the budget."""
        if self.budget == "ranks":
            return sum(counts.values())
        return sum(count * self.events[-1].cost[path] for path, count in counts.items())

    def by_type(self, counts: Mapping[str, int]) -> dict[str, int]:
        """Ranks by module as ranks by type, without types that have none."""
        sums: dict[str, int] = {}
        for module in self.all.modules:
            if counts.get(module.path):
                sums[self.label(module)] = sums.get(self.label(module), 0) + counts[module.path]
        return sums

    @cached_property
    def _labels(self) -> dict[tuple[str, str], str]:
        types = {(module.place.stack, module.place.type) for module in self.all.modules}
        stacks = {stack: _own_name(stack, {other for other, _ in types} - {stack}) for stack, _ in types}
        names = [name for _, name in types]
        return {(stack, name): name if names.count(name) == 1 else f"{stacks[stack]}: {name}" for stack, name in types}


def type_of(module: Module) -> str:
    """The type of a module, which says all within one stack."""
    return module.place.type


def by_layer(stack: Part) -> dict[int | None, Part]:
    """The layers of a stack from the first to the last."""
    layers = stack.by(lambda module: module.place.layer)
    return dict(sorted(layers.items(), key=lambda item: -1 if item[0] is None else item[0]))


def thirds(stack: Part) -> dict[str, Part]:
    """The first, middle and last third of a stack's layers; what is left over is in the middle. Empty below six:
    a third of one layer would say what the layer says."""
    layers = list(by_layer(stack).items())
    third = len(layers) // 3
    if third < 2:
        return {}
    parts = {"first": layers[:third], "middle": layers[third:-third], "last": layers[-third:]}
    return {
        f"{name} third, {_span([layer for layer, _ in part])}": Part(tuple(_modules(layers for _, layers in part)))
        for name, part in parts.items()
    }


def read_ranks(run: Path) -> Ranks:
    """The ranks of the run in this folder.

    Raises ValueError where there is no run, where its ranks cannot move, had no event yet, or where the record
    contradicts itself."""
    recipe = _recipe(run)
    adapter = recipe.get("adapter", {})
    kind, rank = adapter.get("kind"), adapter.get("rank")
    if kind not in KINDS:
        raise ValueError(
            f"{run} trains {kind or 'no'} adapters of rank {rank}, which keep their rank: "
            f"there is a rank diagnostic of runs with adapter.kind = {' or '.join(map(repr, KINDS))}"
        )
    path = run / "ranks.jsonl"
    events = read_events(path)
    step = _last_step(run)
    if not events:
        raise ValueError(
            f"{run} is at step {step} of {recipe.get('steps', '?')} and has had no rank event: "
            f"all ranks are {rank} still. Come back when {path.name} has its first line"
        )
    first, last = events[0], events[-1]
    # An adapter that was started from a folder may have brought other ranks: then only the record knows them.
    start = first.before if "start" in adapter else dict.fromkeys(first.ranks, rank)
    check_record(start, events, path)
    where = places(last.ranks)
    modules = tuple(
        Module(name, where[name], start[name], end, last.importance.get(name), last.cost[name])
        for name, end in last.ranks.items()
    )
    return Ranks(run, kind, adapter.get("budget", "ranks"), max(step, last.step), Part(modules), events)


def _recipe(run: Path) -> dict[str, Any]:
    path = run / "run.toml"
    if not path.is_file():
        raise ValueError(f"{run} holds no run: there is no {path.name} in it")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: damaged ({error})") from error


def _last_step(run: Path) -> int:
    path = run / "metrics.jsonl"
    return max((row["step"] for row in read_rows(path)), default=0) if path.is_file() else 0


def _modules(parts: Iterable[Part]) -> list[Module]:
    return [module for part in parts for module in part.modules]


def _span(layers: list[int | None]) -> str:
    return f"layer {layers[0]}" if len(layers) == 1 else f"layers {layers[0]} to {layers[-1]}"


def _own_name(stack: str, others: set[str]) -> str:
    """The first name in the path of a stack that no other has, else all of it: `vision_tower`, `decoder`."""
    taken = {name for other in others for name in other.split(".")}
    return next((name for name in stack.split(".") if name not in taken), stack) or "outside the layers"
