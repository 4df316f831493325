"""Attention over the packed row as one fused kernel: for GPUs, by torch's flex attention.

The layout of layout.py, without padding or copies of the prompt's keys: the kernel skips the tiles of the row that
nobody looks at. Backward on a CPU does not exist in torch; there the layout serves forward passes only."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

if TYPE_CHECKING:
    from paring.policy.layout import Span


class FlexLayout:
    """Attention over one packed row of N tokens. Each query looks at two runs of keys: of its own span, up to itself,
    and of its prefix. A run is kept by its bounds, a number a token: the window moves the first key of either, so that
    one compiled mask serves all windows."""

    def __init__(self, spans: Sequence["Span"], device: torch.device) -> None:
        self.spans = spans
        runs = sorted((span.start, span.length, span.prefix_start, span.prefix_length) for span in spans if span.length)
        start_S, length_S, prefix_S, prefix_length_S = torch.tensor(runs).unbind(1)
        assert torch.equal(start_S, length_S.cumsum(0) - length_S), "spans must stand end to end"
        span_N = torch.arange(len(runs)).repeat_interleave(length_S)
        position_N = prefix_length_S[span_N] + torch.arange(len(span_N)) - start_S[span_N]
        prefix_N, prefix_end_N = prefix_S[span_N], (prefix_S + prefix_length_S)[span_N]
        # Copies, not views of one tensor: on views, torch.compile would make a kernel of its own for the plain mask.
        self.own_N, self.prefix_N, self.prefix_end_N, self.position_N = (
            bound_N.to(device, torch.int32) for bound_N in (start_S[span_N], prefix_N, prefix_end_N, position_N)
        )
        self._masks: dict[int | None, BlockMask] = {}

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scale: float, window: int | None
    ) -> Tensor:
        attention = _compiled() if query.is_cuda else flex_attention
        grouped = query.shape[1] != key.shape[1]
        out_1HND = attention(query, key, value, block_mask=self._mask(window), scale=scale, enable_gqa=grouped)
        return out_1HND.transpose(1, 2)

    def _mask(self, window: int | None) -> BlockMask:
        if window in self._masks:
            return self._masks[window]
        own_N, prefix_N, prefix_end_N = self.own_N, self.prefix_N, self.prefix_end_N
        if window is not None:
            # The first position that the window reaches. In the prefix, position p stands at prefix + p.
            first_N = self.position_N - (window - 1)
            place_N = torch.arange(len(first_N), dtype=torch.int32, device=first_N.device)
            own_N = own_N.maximum(place_N - (window - 1))
            prefix_N = prefix_N + first_N.clamp(min=0)

        def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            """Whether a query sees a key, by their places in the row."""
            own = (own_N[query] <= key) & (key <= query)
            prefix = (prefix_N[query] <= key) & (key < prefix_end_N[query])
            return own | prefix

        # Made whole before it is cut into tiles: N x N booleans, a few at a time, for this moment.
        total, device = len(self.position_N), self.position_N.device
        mask = create_block_mask(sees, B=None, H=None, Q_LEN=total, KV_LEN=total, device=device)
        self._masks[window] = mask
        return mask


@cache
def _compiled() -> Callable[..., Tensor]:
    """Once a process, at first use: passes differ in length, and a kernel of any length spares compiling anew."""
    return torch.compile(flex_attention, dynamic=True)
