"""Attention over the packed row as one fused kernel: for GPUs, by torch's flex attention.

The layout of layout.py, without padding or copies of the prompt's keys: the kernel skips the tiles of the row that
nobody looks at. Backward on a CPU does not exist in torch; there the layout serves forward passes only."""

import warnings
from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from paring.policy.layout import Span
from paring.policy.scores import PLAIN, Scores

TILE = 128
"""Tokens of the row that the kernel works on at a time."""


class FlexLayout:
    """Attention over one packed row of N tokens. Each query looks at two runs of keys: of its own span, up to itself,
    and of its prefix. A run is kept by its bounds, a number a token: the window moves the first key of either, so that
    one compiled mask serves all windows."""

    def __init__(self, spans: Sequence[Span], device: torch.device) -> None:
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
        assert scores == PLAIN, "no model that needs more is packed on a GPU (policy/attention.py)"
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

        some_QK, whole_QK = tiles(own_N, prefix_N, prefix_end_N)
        in_part, whole, total = _listed(some_QK & ~whole_QK), _listed(whole_QK), len(own_N)
        self._masks[window] = BlockMask.from_kv_blocks(
            *in_part, *whole, BLOCK_SIZE=TILE, mask_mod=sees, seq_lengths=(total, total)
        )
        return self._masks[window]


def tiles(own_N: Tensor, prefix_N: Tensor, prefix_end_N: Tensor) -> tuple[Tensor, Tensor]:
    """Tiles of queries and keys in which some query sees some key, and in which each sees all: two bool [Q, K].

    A query n sees the keys own ... n and prefix ... prefix_end - 1. From these bounds a tile of keys is decided for a
    query at once: N x N / 128 booleans in place of the N x N of a mask that is made whole."""
    total = len(own_N)
    count = -(-total // TILE)
    first_K = torch.arange(count, device=own_N.device) * TILE
    end_K, place_N1 = first_K + TILE, torch.arange(total, device=own_N.device)[:, None]
    own_N1, prefix_N1, prefix_end_N1 = own_N[:, None], prefix_N[:, None], prefix_end_N[:, None]
    own_some = (own_N1 < end_K) & (first_K <= place_N1)
    prefix_some = prefix_N1.maximum(first_K) < prefix_end_N1.minimum(end_K)
    own_whole = (own_N1 <= first_K) & (end_K <= place_N1 + 1)
    prefix_whole = (prefix_N1 <= first_K) & (end_K <= prefix_end_N1)
    # The last tile of queries is filled up with some that see nothing.
    missing = (0, 0, 0, count * TILE - total)
    some_NK, whole_NK = (functional.pad(one, missing) for one in (own_some | prefix_some, own_whole | prefix_whole))
    return some_NK.view(count, TILE, count).any(1), whole_NK.view(count, TILE, count).all(1)


def _listed(tile_QK: Tensor) -> tuple[Tensor, Tensor]:
    """How many tiles of keys each tile of queries has, and which, those first: int32 [1, 1, Q] and [1, 1, Q, K]."""
    order_QK = tile_QK.int().argsort(dim=-1, descending=True, stable=True)
    return tile_QK.sum(-1, dtype=torch.int32)[None, None], order_QK.int()[None, None]


@cache
def works_on(device: torch.device) -> bool:
    """Whether the kernel can be compiled for this device, forward and backward, which takes Triton and a C compiler.
    Tried once a process, with a warning where it cannot: the padded blocks then serve."""
    row_1HND = torch.randn(1, 2, 2 * TILE, 16, device=device, requires_grad=True)
    try:
        layout = FlexLayout([Span(0, TILE), Span(TILE, TILE, 0, TILE)], device)
        layout.attend(0, row_1HND, row_1HND, row_1HND, scale=1.0, window=None).sum().backward()
    # What compilers raise has no common class.
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        warnings.warn(f"packed attention runs in padded blocks, which is slower: {reason}", stacklevel=2)
        return False
    return True


@cache
def _compiled() -> Callable[..., Tensor]:
    """Once a process, at first use: passes differ in length, and a kernel of any length spares compiling anew."""
    return torch.compile(flex_attention, dynamic=True)
