"""The forward pass of a rollout, kept for the update: the policy that samples is the one that takes the first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from paring.types import Recorded


@dataclass(eq=False)
class Recording:
    """Outputs of the matrix products of every layer, for each token that a rollout fed; row n is of the n-th token.

    parts: by name, [layers, rows, O]: `heads`, the queries, keys and values before norm and rotation; `gate_up`; and
    the hidden states `after_attention` and `after_mlp`, residual connections included. They hold `most_bytes` at most,
    and serve one rollout after the other: to fetch their memory anew each time would cost more than it saves."""

    most_bytes: float
    parts: dict[str, Tensor] = field(default_factory=dict)
    room: int = 0
    rows: int = 0
    rollout: int = 0

    def begin(self, layers: int, widths: Mapping[str, int], tokens: int) -> None:
        """A new rollout of at most so many tokens; what was known of the last one is lost."""
        most_rows = int(self.most_bytes // (4 * layers * sum(widths.values())))
        needed = min(tokens, most_rows)
        if needed > self.room:
            self.parts = {}  # before the new ones are there
            self.parts = {name: torch.empty(layers, needed, width) for name, width in widths.items()}
            self.room = needed
        self.rows, self.rollout = 0, self.rollout + 1

    def keep(self, layer: int, name: str, product: Tensor) -> None:
        """The output of this layer for the next tokens, [..., O]."""
        rows = product.flatten(0, -2)
        if self.rows + len(rows) <= self.room:
            self.parts[name][layer, self.rows : self.rows + len(rows)] = rows

    def address(self, layer: int, name: str, tokens: int) -> int | None:
        """Where the output of this layer for so many next tokens is to be written, one after the other; None where
        there is no room."""
        part = self.parts[name]
        rows = layer * self.room + self.rows
        return part.data_ptr() + 4 * rows * part.shape[2] if self.rows + tokens <= self.room else None

    def count(self, tokens: int) -> Tensor:
        """Say that all layers have seen so many tokens; the rows where they stand: int64 [tokens]."""
        first, self.rows = self.rows, self.rows + tokens
        return torch.arange(first, self.rows)


@dataclass(frozen=True, eq=False)
class Trace:
    """Rows of a recording: those of a prompt, and of each of its completions but for the last token, which is never
    fed. All int64. It holds until the next rollout is recorded."""

    recording: Recording
    rollout: int
    prompt: Tensor
    completions: list[Tensor]

    def of_prompt(self) -> "Trace":
        """The prompt alone, to which completions can be added."""
        return replace(self, completions=[])


@dataclass(frozen=True, eq=False)
class Known:
    """A recording as the tokens of one packed row [N] need it."""

    recording: Recording
    row_N: Tensor

    def part(self, layer: int, name: str) -> Tensor:
        """[1, N, O]; see Recording for the names."""
        return self.recording.parts[name][layer].index_select(0, self.row_N)[None]


def known(traces: Sequence[Recorded | None]) -> Known | None:
    """The recorded pass of groups that are packed in this order; None unless all of them are recorded."""
    held = [trace for trace in traces if isinstance(trace, Trace) and trace.rollout == trace.recording.rollout]
    if not held or len(held) < len(traces):
        return None
    rows = [row for trace in held for row in (trace.prompt, *trace.completions)]
    return Known(held[0].recording, torch.cat(rows))
