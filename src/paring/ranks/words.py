"""The ranks of a run as people read them, tables and one line an event; and as plain values, for JSON."""

from shlex import quote

from paring.ranks.needs import EFFECT, effect, needs_table
from paring.ranks.reading import Part, Ranks
from paring.runtime import text
from paring.runtime.tables import LONGEST_CELL, Table
from paring.runtime.text import count_words, one_line
from paring.types import Json

MOST_MOVED = 5
"""Modules that are listed among those that gained most, and among those that lost most."""


def as_text(ranks: Ranks) -> str:
    """Everything that a person wants to see, in plain aligned text."""
    tables = [_types_table(ranks)]
    for name, stack in ranks.stacks.items():
        tables += [_layers_table(name, stack), _depth_table(name, stack)]
    tables += [_moved_table(ranks), needs_table(ranks.all)]
    history = "history (KL: mean nats a token, of the policy before the event from the policy after it)"
    blocks = [summary(ranks), *(table.as_text() for table in tables if table)]
    blocks.append([history, *(event_words(ranks, number) for number in range(len(ranks.events)))])
    return "\n\n".join("\n".join(block) for block in blocks)


def summary(ranks: Ranks) -> list[str]:
    """Ranks and parameters at the start and at the end, and how many ranks moved."""
    everything, first, last = ranks.all, ranks.events[0], ranks.events[-1]
    gained = sum(max(0, module.change) for module in everything.modules)
    lost = sum(max(0, -module.change) for module in everything.modules)
    begin = "different start ranks" if ranks.start_rank is None else f"start rank {ranks.start_rank}"
    steps = f"at step {first.step}" if first is last else f"at steps {first.step} to {last.step}"
    unassigned = _amount(ranks, last.unassigned)
    return [
        f"{ranks.kind}: {count_words(len(everything.modules), 'module')}, {begin}; "
        f"{count_words(len(ranks.events), 'rank event')} {steps}, budget in {one_line(ranks.budget)}",
        f"ranks {everything.start:,} -> {everything.end:,} ({_signed(everything.change)}), {unassigned} unassigned; "
        f"net of all events, modules gained {gained:,} and lost {lost:,}",
        f"parameters {everything.parameters_at_start:,} -> {everything.parameters:,} ({_growth(everything)})",
    ]


def _types_table(ranks: Ranks) -> Table:
    return Table(
        ["module type", "modules", "start", "end", "change", "mean", "min-max", "parameters", "change", *EFFECT],
        [
            [
                name,
                f"{len(part.modules):,}",
                f"{part.start:,}",
                f"{part.end:,}",
                _signed(part.change),
                f"{part.mean:.2f}",
                f"{part.low}-{part.high}",
                f"{part.parameters:,}",
                _growth(part),
                *effect(part),
            ]
            for name, part in [*ranks.types.items(), ("all", ranks.all)]
        ],
        "ranks by module type (KL: nats a token that removing the updates costs, to second order; null: updates of the "
        "same norm in random directions)",
    )


def _layers_table(name: str, stack: Part) -> Table:
    rows = []
    for layer, part in stack.layers.items():
        ranks = [number(part.types[kind].mean) if kind in part.types else "" for kind in stack.types]
        rows.append(["-" if layer is None else str(layer), *ranks, f"{part.end:,}", _signed(part.change)])
    title = f"final ranks by layer, {one_line(name, LONGEST_CELL)}" if name else "final ranks outside the layers"
    return Table(["layer", *stack.types, "sum", "change"], rows, "; ".join([title, *several_in_a_layer(stack)]))


def _depth_table(name: str, stack: Part) -> Table:
    """Empty where there are too few layers."""
    rows = []
    for third, part in stack.thirds.items():
        ranks = [f"{part.types[kind].mean:.1f}" if kind in part.types else "" for kind in stack.types]
        rows.append([third, *ranks, f"{part.mean:.1f}", _signed(part.change)])
    title = f"mean final rank by depth, {one_line(name, LONGEST_CELL)}"
    return Table(["depth", *stack.types, "all", "change"], rows, title)


def _moved_table(ranks: Ranks) -> Table:
    """The modules that gained most, and those that lost most. Empty where nothing moved."""
    falling = sorted(ranks.all.modules, key=lambda module: -module.change)
    gained = [module for module in falling[:MOST_MOVED] if module.change > 0]
    lost = [module for module in falling[: -MOST_MOVED - 1 : -1] if module.change < 0]
    rows = [
        [module.path, str(module.start), str(module.end), _signed(module.change), *effect(module)]
        for module in gained + lost
    ]
    return Table(["module", "start", "end", "change", *EFFECT], rows, "modules that gained most and lost most")


def event_words(ranks: Ranks, number: int) -> str:
    """The event of this number, from 0, in one line, with its cause."""
    event = ranks.events[number]
    cause, effects = "nothing pruned", []
    if pruned := sum(event.pruned.values()):
        cause = f"{count_words(pruned, 'component')} removed from {count_words(len(event.pruned), 'module')}"
        if closed := sum(event.closed.values()):
            cause += f", {closed:,} by their gates"
    if event.grown:
        types = sorted(ranks.by_type(event.grown).items(), key=lambda item: -item[1])
        named = ", ".join(f"{one_line(label, LONGEST_CELL)} {count}" for label, count in types)
        given, modules = sum(event.grown.values()), count_words(len(event.grown), "module")
        effects.append(f"{count_words(given, 'rank')} given to {modules} ({named})")
    if not event.growth:
        effects.append("none can be given")
    effect = ", ".join([*(effects or ["none given"]), f"{_amount(ranks, event.unassigned)} unassigned"])
    return f"step {event.step}: {cause}; {effect}; " + ("no KL" if event.kl is None else f"KL {event.kl:.2g}")


def several_in_a_layer(stack: Part) -> list[str]:
    """Types with several modules in one layer, whose mean is shown: experts."""
    most: dict[str, int] = {}
    for (kind, _), cell in stack.cells.items():
        most[kind] = max(most.get(kind, 0), len(cell.modules))
    return [f"{one_line(kind, LONGEST_CELL)} is the mean of {count}" for kind, count in most.items() if count > 1]


def next_steps(ranks: Ranks, *, figures: bool) -> list[str]:
    """Commands to try, each with its purpose."""
    folder = quote(str(ranks.run))
    commands = {
        f"paring ranks {folder} --figures DIR": "heat map and flow of the ranks as SVG (--png: as PNG too)",
        f"paring export {folder} --to DIR": "the adapter for PEFT, vLLM, ... (--merged: a whole model)",
    }
    return text.next_steps(dict(list(commands.items())[figures:]))


def number(value: float) -> str:
    """A rank, or a mean of ranks with one decimal if it needs one."""
    return f"{value:.1f}".removesuffix(".0")


def as_plain(ranks: Ranks) -> dict[str, Json]:
    """Nested lists and dicts; `layer` is None outside the layers, `stack` then "". Names are as the model has them."""
    stacks = ranks.stacks.items()
    return {
        "run": str(ranks.run),
        "kind": ranks.kind,
        "budget": ranks.budget,
        "step": ranks.step,
        "start_rank": ranks.start_rank,
        "unassigned": ranks.events[-1].unassigned,
        "all": _sums(ranks.all),
        "types": {label: _sums(part) for label, part in ranks.types.items()},
        "layers": [
            {"stack": name, "layer": layer, **_sums(part), "mean_by_type": _means(ranks, part)}
            for name, stack in stacks
            for layer, part in stack.layers.items()
        ],
        "depth": [
            {"stack": name, "part": third, **_sums(part), "mean_by_type": _means(ranks, part)}
            for name, stack in stacks
            for third, part in stack.thirds.items()
        ],
        "modules": [
            {
                "module": module.path,
                "stack": module.place.stack,
                "layer": module.place.layer,
                "type": ranks.label(module),
                **{name: getattr(module, name) for name in ("start", "end", "change", "worth", "null", "need", "cost")},
            }
            for module in ranks.all.modules
        ],
        "history": [_plain_event(ranks, number) for number in range(len(ranks.events))],
    }


def _sums(part: Part) -> dict[str, Json]:
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
        "worth": part.worth,
        "null": part.null,
    }


def _means(ranks: Ranks, part: Part) -> dict[str, float]:
    return {label: cell.mean for label, cell in part.by(ranks.label).items()}


def _plain_event(ranks: Ranks, number: int) -> dict[str, Json]:
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
        "words": event_words(ranks, number),
    }


def _amount(ranks: Ranks, count: int) -> str:
    """A count in the unit of the budget; that of ranks goes without saying."""
    return f"{count:,}" if ranks.budget == "ranks" else count_words(count, "parameter")


def _signed(change: int) -> str:
    return f"{change:+,}" if change else "0"


def _growth(part: Part) -> str:
    """The change of its parameters in per cent."""
    before = part.parameters_at_start
    return f"{100 * (part.parameters / before - 1):+.1f} %" if before else "-"
