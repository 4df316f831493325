"""The effect of adapters of fixed ranks on the function, as people read it and as plain values."""

from dataclasses import dataclass
from pathlib import Path

from paring.ranks.reading import Module, Part
from paring.runtime.tables import LONGEST_CELL, Table
from paring.runtime.text import count_words, one_line
from paring.types import Json

MOST_SHOWN = 10
"""Modules that are listed one by one."""


@dataclass(frozen=True)
class FunctionMap:
    """The modules of a run, measured on so many tokens that the policy drew."""

    run: Path
    kind: str
    tokens: int
    all: Part

    def as_text(self) -> str:
        """The sums by module type, and the modules that are worth most."""
        summary = (
            f"{self.kind}: {count_words(len(self.all.modules), 'module')}, {self.all.end:,} ranks, "
            f"{self.all.parameters:,} parameters; measured on {self.tokens:,} tokens"
        )
        by_type = Table(
            ["module type", "modules", "ranks", "proposed", "parameters", "KL", "null", "KL / null"],
            [
                [
                    one_line(name, LONGEST_CELL),
                    str(len(part.modules)),
                    str(part.end),
                    str(part.proposed),
                    f"{part.parameters:,}",
                    *_map(part),
                ]
                for name, part in [*self.all.types.items(), ("all", self.all)]
            ],
            "what the updates do, by module type (KL: nats a token that removing them costs, to second order; null: "
            "updates of the same norm in random directions; proposed: ranks for LoRA trained anew)",
        )
        most = sorted(self.all.modules, key=lambda module: -(module.worth or 0.0))[:MOST_SHOWN]
        by_module = Table(
            ["module", "rank", "proposed", "KL", "null", "KL / null"],
            [
                [one_line(module.path, LONGEST_CELL), str(module.end), str(module.proposed), *_map(module)]
                for module in most
            ],
            "modules that are worth most",
        )
        return "\n\n".join(["\n".join(block) for block in ([summary], by_type.as_text(), by_module.as_text())])

    def as_plain(self) -> dict[str, Json]:
        """Every module, and the sums by type."""
        return {
            "run": str(self.run),
            "kind": self.kind,
            "tokens": self.tokens,
            "modules": [
                {
                    "module": module.path,
                    "stack": module.place.stack,
                    "layer": module.place.layer,
                    "type": module.place.type,
                    **{name: getattr(module, name) for name in ("end", "proposed", "worth", "null", "cost")},
                }
                for module in self.all.modules
            ],
            "types": {
                name: {
                    "ranks": part.end,
                    "proposed": part.proposed,
                    "parameters": part.parameters,
                    "worth": part.worth,
                    "null": part.null,
                }
                for name, part in self.all.types.items()
            },
        }


def _map(part: Part | Module) -> list[str]:
    """The effect of its updates, that of random ones of their norm, and the ratio of the two."""
    worth, null = part.worth or 0.0, part.null or 0.0
    return [f"{worth:#.3g}", f"{null:#.3g}", f"{worth / null:.2f}" if null else "-"]
