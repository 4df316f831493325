"""The ranks of a run as plain values, for JSON: every module, every sum, every event."""

from typing import Any

from paring.ranks.reading import Module, Part, Ranks, by_layer, thirds
from paring.ranks.words import words


def as_plain(ranks: Ranks) -> dict[str, Any]:
    """Nested lists and dicts; `layer` is None outside the layers, `stack` then "". Names are as the model has them."""
    last = ranks.events[-1]
    return {
        "run": str(ranks.run),
        "kind": ranks.kind,
        "budget": ranks.budget,
        "step": ranks.step,
        "start_rank": ranks.start_rank,
        "unassigned": last.unassigned,
        "all": _sums(ranks.all),
        "types": {label: _sums(part) for label, part in ranks.types.items()},
        "layers": [
            {"stack": name, "layer": layer, **_sums(part), "mean_by_type": _means(ranks, part)}
            for name, stack in ranks.stacks.items()
            for layer, part in by_layer(stack).items()
        ],
        "depth": [
            {"stack": name, "part": third, **_sums(part), "mean_by_type": _means(ranks, part)}
            for name, stack in ranks.stacks.items()
            for third, part in thirds(stack).items()
        ],
        "modules": [_module(ranks, module) for module in ranks.all.modules],
        "history": [_event(ranks, number) for number in range(len(ranks.events))],
    }


def _sums(part: Part) -> dict[str, Any]:
    return {
        "modules": len(part.modules),
        "start": part.start,
        "end": part.end,
        "change": part.change,
        "mean": part.mean,
        "min": part.low,
        "max": part.high,
        "parameters_at_start": part.parameters_at_start,
        "parameters": part.parameters,
        "importance": part.importance,
    }


def _means(ranks: Ranks, part: Part) -> dict[str, float]:
    return {label: cell.mean for label, cell in part.by(ranks.label).items()}


def _module(ranks: Ranks, module: Module) -> dict[str, Any]:
    return {
        "module": module.path,
        "stack": module.place.stack,
        "layer": module.place.layer,
        "type": ranks.label(module),
        "start": module.start,
        "end": module.end,
        "change": module.change,
        "importance": module.importance,
        "cost": module.cost,
    }


def _event(ranks: Ranks, number: int) -> dict[str, Any]:
    event = ranks.events[number]
    return {
        "step": event.step,
        "ranks": sum(event.ranks.values()),
        "ranks_by_type": ranks.by_type(event.ranks),
        "parameters": sum(rank * event.cost[path] for path, rank in event.ranks.items()),
        "pruned": dict(event.pruned),
        "grown": dict(event.grown),
        "unassigned": event.unassigned,
        "growth": event.growth,
        "kl": event.kl,
        "words": words(ranks, number),
    }
