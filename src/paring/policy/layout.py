"""Attention over one packed row: spans that attend to themselves and to a prefix, computed in padded blocks."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from paring.policy.scores import PLAIN, Scores

LEAST_FILL = 0.75
"""Sequences share a padded attention block while the shortest fills at least this much of the longest."""


@dataclass(frozen=True)
class Span:
    """A run of tokens in the packed row that attends causally to itself and fully to `prefix_length` tokens."""

    start: int
    length: int
    prefix_start: int = 0
    prefix_length: int = 0


class PaddedBlock:
    """Spans of similar length, attended to as one padded batch: S rows of Q queries over K keys."""

    def __init__(self, spans: Sequence[Span], device: torch.device) -> None:
        self.spans = spans
        prefix_SK = _padded_index([(span.prefix_start, span.prefix_length) for span in spans])
        self.query_SQ = _padded_index([(span.start, span.length) for span in spans]).to(device)
        self.key_SK = torch.cat([prefix_SK.to(device), self.query_SQ], dim=-1)
        self._masks: dict[int | None, Tensor] = {}

    def attend(
        self,
        query_NHD: Tensor,
        key_NHD: Tensor,
        value_NHD: Tensor,
        *,
        scale: float,
        window: int | None,
        scores: Scores,
    ) -> Tensor:
        """[S * Q, H, D], the padding included."""
        query_SHQD = _gather(query_NHD, self.query_SQ)
        key_SHKD, value_SHKD = _gather(key_NHD, self.key_SK), _gather(value_NHD, self.key_SK)
        if scores != PLAIN:
            return self._written_out(query_SHQD, key_SHKD, value_SHKD, scale, window, scores)
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

    def _written_out(
        self,
        query_SHQD: Tensor,
        key_SHKD: Tensor,
        value_SHKD: Tensor,
        scale: float,
        window: int | None,
        scores: Scores,
    ) -> Tensor:
        """With the scores [S, H_kv, H / H_kv, Q, K] in memory, which no kernel of torch's caps or gives sinks to."""
        query_SHUQD = query_SHQD.unflatten(1, (key_SHKD.shape[1], -1))
        score_SHUQK = (query_SHUQD @ key_SHKD[:, :, None].mT).float() * scale
        bias_SQK = torch.where(self._mask(window), 0.0, -torch.inf)
        weight_SHUQK = scores.weights(score_SHUQK, bias_SQK[:, :, None]).to(value_SHKD.dtype)
        out_SHQD = (weight_SHUQK @ value_SHKD[:, :, None]).flatten(1, 2)
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
        self.spans = spans
        self.blocks = [PaddedBlock(alike, device) for alike in _alike([span for span in spans if span.length])]
        restore_N, offset = torch.empty(sum(span.length for span in spans), dtype=torch.int64), 0
        for block in self.blocks:
            for row, span in enumerate(block.spans):
                first = offset + row * block.query_SQ.shape[1]
                restore_N[span.start : span.start + span.length] = torch.arange(first, first + span.length)
            offset += block.query_SQ.numel()
        self.restore_N = restore_N.to(device)
        """Where token n of the row stands among the concatenated, padded outputs of the blocks: int64 [N]."""

    def attend(
        self,
        layer: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        scale: float,
        window: int | None,
        scores: Scores = PLAIN,
    ) -> Tensor:
        heads_NHD = [heads[0].transpose(0, 1) for heads in (query, key, value)]
        out = [block.attend(*heads_NHD, scale=scale, window=window, scores=scores) for block in self.blocks]
        return torch.cat(out).index_select(0, self.restore_N)[None]


def _alike(spans: list[Span]) -> list[list[Span]]:
    """Cut the spans into lists that pad little: the same kind (with or without a prefix) and similar lengths."""
    alike: list[list[Span]] = []
    for span in sorted(spans, key=lambda span: (span.prefix_length > 0, -span.length, span.start)):
        longest = alike[-1][0] if alike else span
        same_kind = bool(longest.prefix_length) == bool(span.prefix_length)
        if alike and same_kind and span.length >= LEAST_FILL * longest.length:
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
