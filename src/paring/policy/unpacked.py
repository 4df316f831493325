"""Passes that are not packed: one sequence a row, padded on the right, through transformers' own attention.

For models whose attention or state our packed row does not serve. Right padding is invisible to a causal model, so no
mask is needed. A prompt is computed once for each of its completions: slower than the packed row, with its results."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from paring.policy.flex import FlexLayout
from paring.policy.head import into_head
from paring.policy.layout import LEAST_FILL, PackedLayout, Span
from paring.policy.packing import Shared
from paring.policy.sharding import is_sharded


@dataclass(frozen=True)
class Unpacked:
    """A model's own forward pass over the sequences of a packed row."""

    model: PreTrainedModel

    def __call__(self, token_1N: Tensor, position_1N: Tensor, layout: PackedLayout | FlexLayout) -> Tensor:
        """What the head receives [1, N, D], of the tokens at their places in the packed row."""
        device = token_1N.device
        rows = [torch.tensor(row) for row in rows_of(layout.spans)]
        restore_N, hidden, offset = torch.zeros(token_1N.shape[1], dtype=torch.int64), [], 0
        for block in blocks_of([len(row) for row in rows], least_fill(self.model)):
            index_SL = pad_sequence([rows[number] for number in block], batch_first=True)
            for number in block:
                restore_N[rows[number]] = torch.arange(offset, offset + len(rows[number]))
                offset += index_SL.shape[1]
            token_SL = token_1N[0, index_SL.to(device)]
            hidden.append(into_head(self.model, input_ids=token_SL).flatten(0, 1))
        return torch.cat(hidden).index_select(0, restore_N.to(device))[None]


def rows_of(spans: Iterable[Span]) -> list[list[int]]:
    """The sequences of a packed row, each as the places of its tokens: a completion after its prompt, and a prompt
    alone where no completion takes it in."""
    held = [span for span in spans if span.length]
    taken_in = {span.prefix_start for span in held if span.prefix_length}
    rows = []
    for span in held:
        prefix = range(span.prefix_start, span.prefix_start + span.prefix_length)
        if prefix or span.start not in taken_in:
            rows.append([*prefix, *range(span.start, span.start + span.length)])
    return rows


def least_fill(model: PreTrainedModel) -> float:
    """How much of its row the shortest sequence of a block fills at least. Through a divided base all rows of a pass go
    at once: the processes call the model together, and each has other rows."""
    return 0.0 if is_sharded(model) else LEAST_FILL


def blocks_of(lengths: Sequence[int], fill: float = LEAST_FILL) -> list[list[int]]:
    """Cut rows into blocks that are padded together, as their numbers: the shortest of a block, which is its last,
    fills at least this share of the longest, which is its first."""
    blocks: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if blocks and lengths[row] >= fill * lengths[blocks[-1][0]]:
            blocks[-1].append(row)
        else:
            blocks.append([row])
    return blocks


def unpacked_tokens(shared: Sequence[Shared], fill: float = LEAST_FILL) -> int:
    """Tokens that prompts and completions take in padded rows, the padding included. `fill`: see `blocks_of`."""
    lengths: list[int] = []
    for one in shared:
        prompt = len(one.prompt)
        lengths += [prompt + len(tokens) - 1 for tokens in one.completions if len(tokens) > 1] or [prompt]
    return sum(len(block) * lengths[block[0]] for block in blocks_of(lengths, fill))
