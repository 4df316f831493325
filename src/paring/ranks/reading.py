"""The ranks of a run: its folder -> modules, sums over them, events. No model is needed."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from paring.ranks.events import Event, check_record, read_events
from paring.ranks.places import Place, places
from paring.runtime.folder import RunFolder
from paring.runtime.journal import read_rows

KINDS = ("l1ra", "l1ra-reference", "sora", "adalora", "allocated")
"""The kinds of adapters whose ranks move."""
NULL_POWER = 2 / 3
"""KL alone (power 0) favours modules whose outputs are wide, KL / null (power 1) those whose updates hardly matter. In
between, planted modules are told from others best (bench/planted.py; docs/l1ra.md, "The map and its null")."""
Label = TypeVar("Label", bound=Hashable)


@dataclass(frozen=True)
class Module:
    """An adapted module. `cost`: parameters of one rank; `worth`: KL in nats a token of removing its update, to second
    order, and `null`: of an update of the same norm in a random direction; `proposed`: the rank for LoRA trained anew
    (adapters/proposal.py). None where they were not measured."""

    path: str
    place: Place
    start: int
    end: int
    worth: float | None
    null: float | None
    cost: int
    proposed: int | None = None

    @property
    def change(self) -> int:
        return self.end - self.start

    @property
    def need(self) -> float:
        """KL / null^NULL_POWER, a scale on which modules are compared with one another; 0 without a signal."""
        return self.worth / self.null**NULL_POWER if self.worth and self.null else 0.0


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
    def mean_change(self) -> float:
        return self.change / len(self.modules)

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
    def worth(self) -> float | None:
        """The sum over the modules that have one."""
        known = [module.worth for module in self.modules if module.worth is not None]
        return sum(known) if known else None

    @property
    def null(self) -> float | None:
        """The sum over the modules that have one."""
        known = [module.null for module in self.modules if module.null is not None]
        return sum(known) if known else None

    @property
    def proposed(self) -> int:
        """The sum over the modules that have one."""
        return sum(module.proposed or 0 for module in self.modules)

    @property
    def parameters_at_start(self) -> int:
        return sum(module.start * module.cost for module in self.modules)

    @property
    def parameters(self) -> int:
        return sum(module.end * module.cost for module in self.modules)

    def by(self, key: Callable[[Module], Label]) -> dict[Label, "Part"]:
        """Its parts, in the order of their first modules."""
        groups: dict[Label, list[Module]] = {}
        for module in self.modules:
            groups.setdefault(key(module), []).append(module)
        return {name: Part(tuple(modules)) for name, modules in groups.items()}

    @cached_property
    def types(self) -> dict[str, "Part"]:
        """By module type, which is unique within one stack."""
        return self.by(lambda module: module.place.type)

    @cached_property
    def layers(self) -> dict[int | None, "Part"]:
        """By layer, from the first to the last; under None what stands in no layer."""
        layers = self.by(lambda module: module.place.layer)
        return dict(sorted(layers.items(), key=lambda item: -1 if item[0] is None else item[0]))

    @cached_property
    def cells(self) -> dict[tuple[str, int | None], "Part"]:
        """By module type and layer."""
        return self.by(lambda module: (module.place.type, module.place.layer))

    @cached_property
    def thirds(self) -> dict[str, "Part"]:
        """The first, middle and last third of its layers; a remainder is in the middle. Empty below six layers: a
        third of one layer would repeat that layer."""
        layers = list(self.layers)
        third = len(layers) // 3
        if third < 2:
            return {}
        spans = {"first": layers[:third], "middle": layers[third:-third], "last": layers[-third:]}
        return {
            f"{name} third, layers {span[0]} to {span[-1]}": Part(
                tuple(module for layer in span for module in self.layers[layer].modules)
            )
            for name, span in spans.items()
        }


@dataclass(frozen=True)
class Ranks:
    """The ranks of a run: where they began, every event, where they are now.

    budget   `ranks` or `parameters`: the unit in which pruned ranks are given again
    step     the last step that the run has made
    """

    run: Path
    kind: str
    budget: str
    step: int
    all: Part
    events: tuple[Event, ...]

    @cached_property
    def stacks(self) -> dict[str, Part]:
        """By name, in model order; under "" what stands in no layer."""
        return self.all.by(lambda module: module.place.stack)

    @cached_property
    def types(self) -> dict[str, Part]:
        """By label: the type, with a name of its stack before it where two stacks have a type of this name."""
        return self.all.by(self.label)

    @property
    def start_rank(self) -> int | None:
        """The start rank of all modules; None where they began with different ranks."""
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
        sums = {label: sum(counts.get(module.path, 0) for module in part.modules) for label, part in self.types.items()}
        return {label: count for label, count in sums.items() if count}

    @cached_property
    def _labels(self) -> dict[tuple[str, str], str]:
        types = {(module.place.stack, module.place.type) for module in self.all.modules}
        stacks = {stack: _own_name(stack, {other for other, _ in types} - {stack}) for stack, _ in types}
        names = [name for _, name in types]
        return {(stack, name): name if names.count(name) == 1 else f"{stacks[stack]}: {name}" for stack, name in types}


def read_ranks(run: Path) -> Ranks:
    """The ranks of the run in this folder.

    Raises ValueError where there is no run, where its ranks cannot move, had no event yet, or where the record
    contradicts itself."""
    folder = RunFolder(run)
    recipe = folder.read_recipe()
    adapter = recipe.get("adapter")
    adapter = adapter if isinstance(adapter, dict) else {}
    kind, rank = str(adapter.get("kind", "no")), adapter.get("rank")
    if kind not in KINDS:
        raise ValueError(
            f"{run} trains {kind} adapters of rank {rank}, which keep their rank: "
            f"there is a rank diagnostic of runs with adapter.kind = {' or '.join(map(repr, KINDS))}"
        )
    events = read_events(folder.ranks)
    step = max((row["step"] for row in read_rows(folder.metrics)), default=0) if folder.metrics.is_file() else 0
    if not events:
        raise ValueError(
            f"{run} is at step {step} of {recipe.get('steps', '?')} and has had no rank event: "
            f"all ranks are {rank} still. Come back when {folder.ranks.name} has its first line"
        )
    first, last = events[0], events[-1]
    # With slack, or from a folder, adapters begin with other ranks: then only the record knows them.
    start = first.before
    if isinstance(rank, int) and not {"start", "slack"} & adapter.keys():
        start = dict.fromkeys(first.ranks, rank)
    check_record(start, events, folder.ranks)
    where = places(last.ranks)
    modules = tuple(
        Module(name, where[name], start[name], end, _sum(last.worth, name), last.null.get(name), last.cost[name])
        for name, end in last.ranks.items()
    )
    return Ranks(run, kind, str(adapter.get("budget", "ranks")), max(step, last.step), Part(modules), events)


def _sum(worth: Mapping[str, Sequence[float]], path: str) -> float | None:
    return sum(worth[path]) if path in worth else None


def _own_name(stack: str, others: set[str]) -> str:
    """The first name in the path of a stack that no other has, else all of it: `vision_tower`, `decoder`."""
    taken = {name for other in others for name in other.split(".")}
    return next((name for name in stack.split(".") if name not in taken), stack) or "outside the layers"
