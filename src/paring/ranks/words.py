"""The ranks of a run as people read them: tables, and one line an event."""

from collections.abc import Mapping
from shlex import quote

from paring.ranks.reading import Module, Part, Ranks, by_layer, thirds, type_of
from paring.runtime.text import visible

LONGEST_NAME = 120
MOST_MOVED = 5
"""Modules that are listed among those that gained most, and among those that lost most."""


def as_text(ranks: Ranks) -> str:
    """Everything that a person wants to see, in plain aligned text."""
    blocks = [summary(ranks), types_table(ranks)]
    for name, stack in ranks.stacks.items():
        blocks.append(layers_table(name, stack))
        if thirds(stack):
            blocks.append(depth_table(name, stack))
    blocks += [moved_table(ranks), history(ranks)]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def summary(ranks: Ranks) -> list[str]:
    """What began, what became of it, how much moved."""
    everything, first, last = ranks.all, ranks.events[0], ranks.events[-1]
    gained = sum(max(0, module.change) for module in everything.modules)
    lost = sum(max(0, -module.change) for module in everything.modules)
    begin = "different start ranks" if ranks.start_rank is None else f"start rank {ranks.start_rank}"
    steps = f"at step {first.step}" if first is last else f"at steps {first.step} to {last.step}"
    return [
        f"{visible(ranks.kind)}: {_count(len(everything.modules), 'module')}, {begin}; "
        f"{_count(len(ranks.events), 'rank event')} {steps}, budget in {visible(ranks.budget)}",
        f"ranks {everything.start:,} -> {everything.end:,} ({_signed(everything.change)}), "
        f"{amount(ranks, last.unassigned)} unassigned; net of all events, modules gained {gained:,} and lost {lost:,}",
        f"parameters {everything.parameters_at_start:,} -> {everything.parameters:,}"
        f" ({_percent(everything.parameters, everything.parameters_at_start)})",
    ]


def types_table(ranks: Ranks) -> list[str]:
    """Sums by module type: how many ranks moved there."""
    head = ["module type", "modules", "start", "end", "change", "mean", "min-max", "parameters", "change", "importance"]
    parts = [*((one_line(label), part) for label, part in ranks.types.items()), ("all", ranks.all)]
    rows = [
        [
            name,
            f"{len(part.modules):,}",
            f"{part.start:,}",
            f"{part.end:,}",
            _signed(part.change),
            f"{part.mean:.2f}",
            f"{part.low}-{part.high}",
            f"{part.parameters:,}",
            _percent(part.parameters, part.parameters_at_start),
            _importance(part.importance),
        ]
        for name, part in parts
    ]
    return [
        "ranks by module type (importance: s c |a| |b|, mean over components, then modules)",
        *aligned([head, *rows]),
    ]


def layers_table(name: str, stack: Part) -> list[str]:
    """Final rank of each layer and module type, and the sum of each layer."""
    types = list(stack.by(type_of))
    rows = []
    for layer, part in by_layer(stack).items():
        cells = part.by(type_of)
        rows.append(
            [
                "-" if layer is None else str(layer),
                *(number(cells[label].mean) if label in cells else "" for label in types),
                f"{part.end:,}",
                _signed(part.change),
            ]
        )
    title = f"final ranks by layer, {one_line(name)}" if name else "final ranks outside the layers"
    return [
        title + "".join(f"; {words}" for words in several_in_a_layer(stack)),
        *aligned([["layer", *map(one_line, types), "sum", "change"], *rows]),
    ]


def depth_table(name: str, stack: Part) -> list[str]:
    """Mean final rank by depth and module type."""
    types = list(stack.by(type_of))
    rows = []
    for third, part in thirds(stack).items():
        cells = part.by(type_of)
        means = (f"{cells[label].mean:.1f}" if label in cells else "" for label in types)
        rows.append([third, *means, f"{part.mean:.1f}", _signed(part.change)])
    head = ["", *map(one_line, types), "all", "change"]
    return [f"mean final rank by depth, {one_line(name)}", *aligned([head, *rows])]


def moved_table(ranks: Ranks) -> list[str]:
    """The modules that gained most, and those that lost most. Nothing where nothing moved."""
    falling = sorted(ranks.all.modules, key=lambda module: -module.change)
    gained = [module for module in falling[:MOST_MOVED] if module.change > 0]
    lost = [module for module in falling[: -MOST_MOVED - 1 : -1] if module.change < 0]
    if not gained and not lost:
        return []
    head = ["module", "start", "end", "change", "importance"]
    return ["modules that gained most and lost most", *aligned([head, *map(_module_row, gained + lost)])]


def history(ranks: Ranks) -> list[str]:
    """One line an event, with its cause."""
    title = "history (KL: mean nats a token, of the policy before the event from the policy after it)"
    return [title, *(words(ranks, number) for number in range(len(ranks.events)))]


def words(ranks: Ranks, number: int) -> str:
    """What happened at the event of this number, from 0, and why."""
    event = ranks.events[number]
    gates = "at zero" if ranks.kind == "l1ra" else "below the threshold"
    pruned = sum(event.pruned.values())
    # Of a module's last components some may stay whatever their gates: so without pruning nothing is said of gates.
    cause = f"{_count(pruned, 'gate')} {gates} in {_count(len(event.pruned), 'module')}" if pruned else "nothing pruned"
    given = [_given(ranks, event.grown)] if event.grown else []
    if not event.growth:
        given.append("re-assignment is over")
    effect = ", ".join([*(given or ["none given"]), f"{amount(ranks, event.unassigned)} unassigned"])
    return f"step {event.step}: {cause}; {effect}; " + ("no KL" if event.kl is None else f"KL {event.kl:.2g}")


def amount(ranks: Ranks, count: int) -> str:
    """A count in the unit of the budget; that of ranks goes without saying."""
    return f"{count:,}" if ranks.budget == "ranks" else _count(count, "parameter")


def several_in_a_layer(stack: Part) -> list[str]:
    """Which types have several modules in one layer, whose mean is shown: experts."""
    most: dict[str, int] = {}
    for part in by_layer(stack).values():
        for label, cell in part.by(type_of).items():
            most[label] = max(most.get(label, 0), len(cell.modules))
    return [f"{one_line(label)} is the mean of {count}" for label, count in most.items() if count > 1]


def next_steps(ranks: Ranks, *, figures: bool) -> list[str]:
    """Commands to try, and what each is for."""
    folder = quote(str(ranks.run))
    commands = {
        f"paring ranks {folder} --figures DIR": "heat map and flow of the ranks as SVG (--png: as PNG too)",
        f"paring export {folder} --to DIR": "the adapter for PEFT, vLLM, ... (--merged: a whole model)",
    }
    shown = list(commands)[figures:]
    width = max(map(len, shown))
    return ["next:", *(f"  {command:<{width}}  {commands[command]}" for command in shown)]


def one_line(name: str) -> str:
    """A name of a model's part made harmless, on one line and not endless."""
    return visible(name, LONGEST_NAME).replace("\n", r"\n").replace("\t", r"\t")


def number(value: float) -> str:
    """A rank, or a mean of ranks with one decimal if it needs one."""
    return f"{value:.1f}".removesuffix(".0")


def aligned(rows: list[list[str]]) -> list[str]:
    """Columns of text, the first to the left and numbers to the right, under a line below the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [f"{row[0]:<{widths[0]}}", *(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    return [lines[0], "-" * len(lines[0]), *(line.rstrip() for line in lines[1:])]


def _module_row(module: Module) -> list[str]:
    return [
        one_line(module.path),
        str(module.start),
        str(module.end),
        _signed(module.change),
        _importance(module.importance),
    ]


def _given(ranks: Ranks, grown: Mapping[str, int]) -> str:
    types = sorted(ranks.by_type(grown).items(), key=lambda item: -item[1])
    named = ", ".join(f"{one_line(label)} {count}" for label, count in types)
    return f"{_count(sum(grown.values()), 'rank')} given to {_count(len(grown), 'module')} ({named})"


def _count(count: int, thing: str) -> str:
    return f"{count:,} {thing}" + ("" if count == 1 else "s")


def _signed(change: int) -> str:
    return f"{change:+,}" if change else "0"


def _percent(now: int, before: int) -> str:
    return f"{100 * (now / before - 1):+.1f} %" if before else "-"


def _importance(value: float | None) -> str:
    return "-" if value is None else f"{value:#.3g}"
