"""The moves of a rank event: the plan, how the paper's code makes it, and the record of an event."""

from collections.abc import Mapping
from dataclasses import dataclass


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


Gates = Mapping[str, tuple[float, ...]]
"""The gates c of each module, by its path, in the model's order."""


def without_closed(gates: Gates) -> dict[str, Move]:
    """The removal of the components whose gates are 0, which changes nothing."""
    kept = {path: tuple(place for place, gate in enumerate(gate_R) if gate) for path, gate_R in gates.items()}
    return {path: Move(places, 0) for path, places in kept.items() if len(places) < len(gates[path])}


def plan_as_reference(gates: Gates, *, budget: int, threshold: float) -> RankPlan:
    """As the reference code does it (`update_ranks`, l1ra/tuners).

    Components with c < threshold go; of a module that would lose all, the last stays. What was removed now is given
    one rank at a time, in turn, to the modules in which no gate was below the threshold, largest smallest gate first
    (the reference's argsort is not stable; ours keeps the model's order in ties). If there is none it is lost.
    """
    kept: dict[str, tuple[int, ...]] = {}
    for path, gate_R in gates.items():
        above = tuple(place for place, gate in enumerate(gate_R) if gate >= threshold)
        kept[path] = above or (len(gate_R) - 1,)
    spare = sum(len(gate_R) - len(kept[path]) for path, gate_R in gates.items())
    untouched = [path for path, gate_R in gates.items() if min(gate_R) >= threshold]
    receivers = sorted(untouched, key=lambda path: -min(gates[path]))
    rounds, rest = divmod(spare, len(receivers)) if receivers else (0, 0)
    grown = {path: rounds + (place < rest) for place, path in enumerate(receivers)}
    moves = {
        path: Move(kept[path], grown.get(path, 0))
        for path, gate_R in gates.items()
        if len(kept[path]) < len(gate_R) or grown.get(path, 0)
    }
    return RankPlan(moves, budget - sum(len(kept[path]) + grown.get(path, 0) for path in gates))


@dataclass(frozen=True)
class RankEvent:
    """A row of ranks.jsonl, by module path.

    ranks        after the event
    unassigned   left of the budget, in its unit
    closed       components whose gates had come to 0, or below the reference's threshold
    pruned       all components that went; those are among them
    grown        new components
    worth        KL in nats a token of removing each component that stayed, largest first (adapters/importance.py)
    null         KL of an update of the same norm in a random direction
    cost         parameters of a rank
    kl           what the event did to the policy, KL(old || new) in nats a token; None where it was not measured
    growth       whether ranks could be given
    """

    step: int
    ranks: dict[str, int]
    unassigned: int
    closed: dict[str, int]
    pruned: dict[str, int]
    grown: dict[str, int]
    worth: dict[str, tuple[float, ...]]
    null: dict[str, float]
    cost: dict[str, int]
    kl: float | None
    growth: bool
