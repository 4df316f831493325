"""Which components go and which modules get new ones: decided from numbers alone (L1RA, arXiv 2509.04884)."""

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Components:
    """The numbers of one module that a rank event decides by.

    gate_R       the gates c, in [0, 1]
    strength_R   s |a_i| |b_i| of each component: by how much it could change the weight, were its gate 1
    cost         parameters of one rank: inputs + outputs; the gate is folded away when an adapter is published
    """

    gate_R: tuple[float, ...]
    strength_R: tuple[float, ...]
    cost: int

    @property
    def importance_R(self) -> tuple[float, ...]:
        """s c |a_i| |b_i|, the Frobenius norm of component i's part of the update. Scale cannot hide in it, whichever
        of the three factors carries it."""
        return tuple(gate * strength for gate, strength in zip(self.gate_R, self.strength_R, strict=True))


Modules = Mapping[str, Components]
"""By module path, in the model's order."""


@dataclass(frozen=True, slots=True)
class Move:
    """The change of one module: the places of the components that stay, in order, and how many new ones follow."""

    kept: tuple[int, ...]
    grown: int


@dataclass(frozen=True)
class RankPlan:
    """The changes by module, and the part of the budget that no module could take."""

    moves: dict[str, Move]
    unassigned: int


def plan_ranks(
    modules: Modules, *, budget: int, price: Callable[[int], int], floor: int, cap: int, grow: bool
) -> RankPlan:
    """Remove the components whose gates are 0, and give what is free of the budget to modules that lost none.

    A module keeps at least `floor` components, the most important first. Where `grow`, one rank after another goes to
    the module in which the importance of the components, shared among one more than there are, is highest for its
    price (the highest averages of d'Hondt). Nothing is given beyond `cap`. `price` turns a cost in parameters into the
    unit of the budget.
    """
    kept = {path: _kept(module, floor) for path, module in modules.items()}
    spare = budget - sum(len(kept[path]) * price(module.cost) for path, module in modules.items())
    receivers = [path for path in modules if 0 < len(kept[path]) == len(modules[path].gate_R) < cap] if grow else []
    queue = [_bid(modules[path], price, 0, number, path) for number, path in enumerate(receivers)]
    heapq.heapify(queue)
    grown: dict[str, int] = {}
    while queue:
        _, number, path = heapq.heappop(queue)
        if price(modules[path].cost) > spare:
            continue  # too dear for what is left, which others may still take
        spare -= price(modules[path].cost)
        grown[path] = grown.get(path, 0) + 1
        if len(kept[path]) + grown[path] < cap:
            heapq.heappush(queue, _bid(modules[path], price, grown[path], number, path))
    return _plan(modules, kept, grown, spare)


def plan_as_reference(modules: Modules, *, budget: int, threshold: float) -> RankPlan:
    """As the reference code does it (`update_ranks`, l1ra/tuners).

    Components with c < threshold go; of a module that would lose all, the last stays. What was removed now is given
    one rank at a time, in turn, to the modules in which no gate was below the threshold, largest smallest gate first
    (the reference's argsort is not stable; ours keeps the model's order in ties). If there is none it is lost.
    """
    kept: dict[str, tuple[int, ...]] = {}
    for path, module in modules.items():
        above = tuple(place for place, gate in enumerate(module.gate_R) if gate >= threshold)
        kept[path] = above or (len(module.gate_R) - 1,)
    spare = sum(len(module.gate_R) - len(kept[path]) for path, module in modules.items())
    untouched = [path for path, module in modules.items() if min(module.gate_R) >= threshold]
    receivers = sorted(untouched, key=lambda path: -min(modules[path].gate_R))
    rounds, rest = divmod(spare, len(receivers)) if receivers else (0, 0)
    grown = {path: rounds + (place < rest) for place, path in enumerate(receivers)}
    held = sum(len(kept[path]) + grown.get(path, 0) for path in modules)
    return _plan(modules, kept, grown, budget - held)


def changes_the_function(plan: RankPlan, before: Modules) -> bool:
    """A component whose importance is 0 goes without a trace, and a new one has B = 0."""
    for path, move in plan.moves.items():
        gone = set(range(len(before[path].gate_R))) - set(move.kept)
        if any(before[path].importance_R[place] for place in gone):
            return True
    return False


@dataclass(frozen=True)
class RankEvent:
    """A row of ranks.jsonl, by module path: the ranks after the event, those removed and given, the mean importance of
    a component, and the parameters of a rank. `unassigned` is left of the budget; `kl` is what the event did to the
    policy, KL(old || new) in nats a token, None where that is not measured; `growth`: whether ranks could be given."""

    step: int
    ranks: dict[str, int]
    unassigned: int
    pruned: dict[str, int]
    grown: dict[str, int]
    importance: dict[str, float]
    cost: dict[str, int]
    kl: float | None
    growth: bool

    @classmethod
    def of(
        cls, step: int, before: Modules, plan: RankPlan, after: Modules, *, kl: float | None, growth: bool
    ) -> "RankEvent":
        lost = {path: len(before[path].gate_R) - len(move.kept) for path, move in plan.moves.items()}
        ranks = {path: len(module.gate_R) for path, module in after.items()}
        return cls(
            step=step,
            ranks=ranks,
            unassigned=plan.unassigned,
            pruned={path: count for path, count in lost.items() if count},
            grown={path: move.grown for path, move in plan.moves.items() if move.grown},
            importance={
                path: sum(module.importance_R) / ranks[path] if ranks[path] else 0.0 for path, module in after.items()
            },
            cost={path: module.cost for path, module in before.items()},
            kl=kl,
            growth=growth,
        )


def _kept(module: Components, floor: int) -> tuple[int, ...]:
    """Places of the components that stay: those with a gate above 0, and the most important up to `floor`; among those
    at 0, whose importance is 0, the strongest."""
    order = sorted(
        range(len(module.gate_R)),
        key=lambda place: (module.gate_R[place] == 0, -module.importance_R[place], -module.strength_R[place]),
    )
    open_gates = sum(gate > 0 for gate in module.gate_R)
    return tuple(sorted(order[: max(open_gates, min(floor, len(order)))]))


def _bid(module: Components, price: Callable[[int], int], given: int, number: int, path: str) -> tuple[float, int, str]:
    """Smallest first in a heap: the highest bid, and in ties the model's order."""
    seats = len(module.gate_R) + given + 1
    return -sum(module.importance_R) / (seats * price(module.cost)), number, path


def _plan(modules: Modules, kept: dict[str, tuple[int, ...]], grown: dict[str, int], unassigned: int) -> RankPlan:
    moves = {
        path: Move(kept[path], grown.get(path, 0))
        for path, module in modules.items()
        if len(kept[path]) < len(module.gate_R) or grown.get(path, 0)
    }
    return RankPlan(moves, unassigned)
