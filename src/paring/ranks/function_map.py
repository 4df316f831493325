"""The effect of adapters of fixed ranks on the function, as people read it and as plain values."""

from dataclasses import dataclass
from pathlib import Path

from paring.ranks.needs import EFFECT, effect, needs_table
from paring.ranks.reading import Part
from paring.runtime.tables import LONGEST_CELL, Table
from paring.runtime.text import count_words, one_line
from paring.types import Json


@dataclass(frozen=True)
class FunctionMap:
    """The modules of a run, measured on so many tokens that the policy drew."""

    run: Path
    kind: str
    tokens: int
    all: Part

    def as_text(self) -> str:
        """The sums by module type, and the modules that are needed most."""
        summary = (
            f"{self.kind}: {count_words(len(self.all.modules), 'module')}, {self.all.end:,} ranks, "
            f"{self.all.parameters:,} parameters; measured on {self.tokens:,} tokens"
        )
        by_type = Table(
            ["module type", "modules", "ranks", "proposed", "parameters", *EFFECT],
            [
                [
                    one_line(name, LONGEST_CELL),
                    str(len(part.modules)),
                    str(part.end),
                    str(part.proposed),
                    f"{part.parameters:,}",
                    *effect(part),
                ]
                for name, part in [*self.all.types.items(), ("all", self.all)]
            ],
            "what the updates do, by module type (KL: nats a token that removing them costs, to second order; null: "
            "updates of the same norm in random directions; proposed: ranks for LoRA trained anew)",
        )
        tables = [by_type, needs_table(self.all, proposed=True)]
        return "\n\n".join(["\n".join(block) for block in ([summary], *(table.as_text() for table in tables if table))])

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
                    **{name: getattr(module, name) for name in ("end", "proposed", "worth", "null", "need", "cost")},
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
