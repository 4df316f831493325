"""The modules that a task needs most, as a table."""

from paring.ranks.reading import Module, Part
from paring.runtime.tables import Table

MOST_SHOWN = 10
"""Modules that are listed one by one."""
EFFECT = ("KL", "null", "KL / null")
"""The heads of the cells of `effect`."""


def needs_table(part: Part, *, proposed: bool = False) -> Table:
    """The modules of the greatest need, beside the greatest of them. Empty where none was measured. `proposed`: with
    the ranks that are proposed to LoRA trained anew."""
    modules = sorted(part.modules, key=lambda module: -module.need)[:MOST_SHOWN]
    most = modules[0].need if modules else 0.0
    rows = [
        [
            module.path,
            str(module.end),
            *([str(module.proposed)] if proposed else []),
            *effect(module),
            f"{module.need / most:.2f}",
        ]
        for module in modules
        if module.need
    ]
    head = ["module", "rank", *(["proposed"] if proposed else []), *EFFECT, "need"]
    return Table(head, rows, "modules that are needed most (need: KL / null^(2/3), beside the greatest)")


def effect(part: Part | Module) -> list[str]:
    """KL in nats a token of removing its updates, that of random updates of their norm, and the ratio of the two."""
    worth, null = part.worth, part.null
    if worth is None or null is None:
        return ["-", "-", "-"]
    return [f"{worth:#.3g}", f"{null:#.3g}", f"{worth / null:.2f}" if null else "-"]
