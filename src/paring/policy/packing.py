"""Groups, or examples -> one packed row, in which each prompt stands once for all its completions.

The linear layers see every token once. Only attention sees a prompt several times: each completion's queries look at
the prompt's keys and at their own. Log-probs and gradients are those of the padded batch (tests/unit/policy).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from paring.policy.flex import FlexLayout
from paring.types import Group

TILE = 128
"""Tokens of the row that the fused kernel of a GPU works on at a time."""
LEAST_FILL = 0.75
"""Sequences share a padded attention block while the shortest fills at least this much of the longest."""


@dataclass(frozen=True)
class Span:
    """A run of tokens in the packed row that attends causally to itself and fully to `prefix_length` tokens."""

    start: int
    length: int
    prefix_start: int = 0
    prefix_length: int = 0


class Block:
    """Spans of similar length, attended to as one padded batch: S rows of Q queries over K keys."""

    def __init__(self, spans: Sequence[Span], device: torch.device) -> None:
        self.spans = spans
        prefix_SK = _padded_index([(span.prefix_start, span.prefix_length) for span in spans])
        self.query_SQ = _padded_index([(span.start, span.length) for span in spans]).to(device)
        self.key_SK = torch.cat([prefix_SK.to(device), self.query_SQ], dim=-1)
        self._masks: dict[int | None, Tensor] = {}

    def attend(
        self, query_NHD: Tensor, key_NHD: Tensor, value_NHD: Tensor, *, scale: float, window: int | None
    ) -> Tensor:
        """[S * Q, H, D], the padding included."""
        query_SHQD = _gather(query_NHD, self.query_SQ)
        key_SHKD, value_SHKD = _gather(key_NHD, self.key_SK), _gather(value_NHD, self.key_SK)
        causal = window is None and not any(span.prefix_length for span in self.spans)
        out_SHQD = F.scaled_dot_product_attention(
            query_SHQD,
            key_SHKD,
            value_SHKD,
            attn_mask=None if causal else self._mask(window),
            is_causal=causal,
            scale=scale,
            enable_gqa=query_NHD.shape[1] != key_NHD.shape[1],
        )
        return out_SHQD.transpose(1, 2).flatten(0, 1)

    def _mask(self, window: int | None) -> Tensor:
        """True where a query may look: bool [S, 1, Q, K]. A padded query sees at least itself, so none is empty."""
        if window not in self._masks:
            device = self.query_SQ.device
            prefix_S1 = torch.tensor([[span.prefix_length] for span in self.spans], device=device)
            own = torch.arange(self.query_SQ.shape[1], device=device)
            prefix_slots = self.key_SK.shape[1] - len(own)
            prefix_SK = torch.arange(prefix_slots, device=device).expand(len(self.spans), -1)
            position_SQ = prefix_S1 + own
            position_SK = torch.cat([prefix_SK, position_SQ], dim=-1)
            real_SK = torch.cat([prefix_SK < prefix_S1, torch.ones_like(position_SQ, dtype=torch.bool)], dim=-1)
            distance_SQK = position_SQ[:, :, None] - position_SK[:, None, :]
            seen_SQK = real_SK[:, None, :] & (distance_SQK >= 0)
            if window is not None:
                seen_SQK &= distance_SQK < window
            self._masks[window] = seen_SQK[:, None]
        return self._masks[window]


class PackedLayout:
    """Attention over one packed row of N tokens."""

    def __init__(self, spans: Sequence[Span], device: torch.device) -> None:
        self.blocks = [Block(alike, device) for alike in _alike([span for span in spans if span.length])]
        self.restore_N = self._restore().to(device)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scale: float, window: int | None):
        query_NHD, key_NHD, value_NHD = (heads[0].transpose(0, 1) for heads in (query, key, value))
        out = [block.attend(query_NHD, key_NHD, value_NHD, scale=scale, window=window) for block in self.blocks]
        return torch.cat(out).index_select(0, self.restore_N)[None]

    def _restore(self) -> Tensor:
        """Where token n of the row stands among the concatenated, padded outputs of the blocks: int64 [N]."""
        total = sum(span.length for block in self.blocks for span in block.spans)
        restore_N, offset = torch.empty(total, dtype=torch.int64), 0
        for block in self.blocks:
            for row, span in enumerate(block.spans):
                first = offset + row * block.query_SQ.shape[1]
                restore_N[span.start : span.start + span.length] = torch.arange(first, first + span.length)
            offset += block.query_SQ.numel()
        return restore_N


@dataclass(frozen=True)
class PackedBatch:
    """One training pass: the packed row, and where its B completions' M predicted tokens stand in it."""

    token_N: Tensor
    position_N: Tensor
    layout: PackedLayout | FlexLayout
    predictor_M: Tensor
    target_M: Tensor
    mask_BT: Tensor

    def spread(self, value_M: Tensor) -> Tensor:
        """[M] -> [B, T], 0 where there is no token. Differentiable."""
        return torch.zeros_like(self.mask_BT).masked_scatter(self.mask_BT.bool(), value_M)


@dataclass(frozen=True)
class Shared:
    """A prompt and the completions that follow it, as token ids."""

    prompt: Sequence[int]
    completions: Sequence[Sequence[int]]


@dataclass(frozen=True)
class Labelled:
    """A sequence of token ids, and which of them are learned: predicted from those before, with a loss."""

    tokens: Sequence[int]
    learned: Sequence[bool]

    @property
    def targets(self) -> list[int]:
        """The places of the learned tokens. Nothing stands before the first token, so it is never one of them."""
        return [place for place, learned in enumerate(self.learned) if learned and place]

    @property
    def size(self) -> int:
        """Tokens that it takes in a packed row: those up to the one that predicts the last learned token."""
        return self.targets[-1]


def pack(shared: Sequence[Shared], device: torch.device) -> PackedBatch:
    """Pack prompts and completions; completion b of the batch is the b-th in order.

    A completion's last token predicts nothing, so it is a target only and takes no place in the row."""
    tokens: list[int] = []
    positions: list[int] = []
    predictors: list[int] = []
    spans: list[Span] = []
    for group in shared:
        prompt = Span(len(tokens), len(group.prompt))
        spans.append(prompt)
        tokens.extend(group.prompt)
        positions.extend(range(prompt.length))
        for completion in group.completions:
            own = Span(len(tokens), len(completion) - 1, prompt.start, prompt.length)
            spans.append(own)
            tokens.extend(completion[:-1])
            positions.extend(range(prompt.length, prompt.length + own.length))
            predictors.append(prompt.start + prompt.length - 1)
            predictors.extend(range(own.start, own.start + own.length))
    completions = [completion for group in shared for completion in group.completions]
    return _batch(tokens, positions, spans, predictors, completions, device)


def pack_examples(examples: Sequence[Labelled], device: torch.device) -> PackedBatch:
    """Pack sequences that do not see each other; row b of mask_BT has the learned tokens of the b-th.

    What follows the predictor of a sequence's last learned token is of no use to it and takes no place in the row."""
    tokens: list[int] = []
    positions: list[int] = []
    predictors: list[int] = []
    spans: list[Span] = []
    for example in examples:
        own = Span(len(tokens), example.size)
        spans.append(own)
        tokens.extend(example.tokens[: own.length])
        positions.extend(range(own.length))
        predictors.extend(own.start + target - 1 for target in example.targets)
    targets = [[example.tokens[target] for target in example.targets] for example in examples]
    return _batch(tokens, positions, spans, predictors, targets, device)


def _batch(
    tokens: Sequence[int],
    positions: Sequence[int],
    spans: Sequence[Span],
    predictors: Sequence[int],
    targets: Sequence[Sequence[int]],
    device: torch.device,
) -> PackedBatch:
    """The tensors of a row: B lists of targets, whose predictors stand in the same order."""
    # On a GPU one fused kernel; a row of one of its tiles would gain nothing and cost a compilation of its own.
    layout = FlexLayout if device.type == "cuda" and len(tokens) > TILE else PackedLayout
    return PackedBatch(
        token_N=torch.tensor(tokens, device=device),
        position_N=torch.tensor(positions, device=device),
        layout=layout(spans, device),
        predictor_M=torch.tensor(predictors, dtype=torch.int64, device=device),
        target_M=torch.tensor([token for row in targets for token in row], dtype=torch.int64, device=device),
        mask_BT=_mask([len(row) for row in targets]).to(device),
    )


def packed(groups: Sequence[Group], device: torch.device) -> PackedBatch:
    """All completions of these groups in one row."""
    return pack([Shared(group.prompt, [one.tokens for one in group.completions]) for group in groups], device)


def packed_size(prompt: int, completions: Sequence[int]) -> int:
    """Tokens that a group takes in a packed row, from its lengths."""
    return prompt + sum(length - 1 for length in completions)


def _mask(lengths: Sequence[int]) -> Tensor:
    slots_T = torch.arange(max(lengths, default=0))
    return (slots_T < torch.tensor(lengths, dtype=torch.int64)[:, None]).float()


def _alike(spans: list[Span]) -> list[list[Span]]:
    """Cut the spans into lists that pad little: the same kind (with or without a prefix) and similar lengths."""
    alike: list[list[Span]] = []
    for span in sorted(spans, key=lambda span: (span.prefix_length > 0, -span.length, span.start)):
        longest = alike[-1][0] if alike else None
        same_kind = longest is not None and bool(longest.prefix_length) == bool(span.prefix_length)
        if same_kind and span.length >= LEAST_FILL * longest.length:
            alike[-1].append(span)
        else:
            alike.append([span])
    return alike


def _padded_index(runs: Sequence[tuple[int, int]]) -> Tensor:
    """[start, start + length) of each run, padded on the right by its last index: int64 [S, longest]."""
    start_S1, length_S1 = torch.tensor(runs, dtype=torch.int64).unsqueeze(-1).unbind(1)
    slots = torch.arange(int(length_S1.max()))
    return start_S1 + slots.minimum((length_S1 - 1).clamp(min=0))


def _gather(value_NHD: Tensor, index_SK: Tensor) -> Tensor:
    """[N, H, D] -> [S, H, K, D]."""
    rows = value_NHD.index_select(0, index_SK.flatten())
    return rows.view(*index_SK.shape, *value_NHD.shape[1:]).transpose(1, 2)
