"""A decoding step of all layers in few operations: matrix products, and compiled code for what lies between them.

With few rows torch spends more time on starting small operations, some sixty a layer, than on their numbers
(docs/performance.md). Here a layer is four products and four calls of compiled.c."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from paring.maths import compiled
from paring.maths.compiled import call
from paring.policy.attention import TokenLayout
from paring.policy.decoder import Decoder, Rotary
from paring.rollout.cache import Rows
from paring.rollout.folded import FoldedLayer, Norm


@dataclass(frozen=True)
class Steps:
    """A decoder over folded layers, called as it is: decoding steps by compiled code where that is in use, the prefill
    by the decoder itself."""

    decoder: Decoder
    layers: Sequence[FoldedLayer]

    def __call__(self, token_BN: Tensor, position_BN: Tensor, layout: TokenLayout) -> Tensor:
        """Last hidden states [B, N, D]."""
        if not isinstance(layout, Rows) or compiled.way() == "torch":
            return self.decoder(token_BN, position_BN, layout)
        hidden = self.decoder.embedded(token_BN)
        rotary = self.decoder.rotary(hidden, position_BN)
        if not self.is_served(hidden, rotary):
            return self.decoder(token_BN, position_BN, layout)
        norms = [layer.before_attention for layer in self.layers[1:]]
        stream = Stream(hidden[:, 0], self.layers[0].before_attention)
        for layer, next_norm in zip(self.layers, [*norms, Norm(self.decoder.model.norm)], strict=True):
            step(layer, stream, rotary, layout, next_norm)
        return stream.normed_LD[:, None]

    def is_served(self, hidden: Tensor, rotary: Rotary) -> bool:
        """Whether the compiled code takes the sizes, and positions that turn all of a head."""
        size, gate_up = self.layers[0].shape.head_size, self.layers[0].widths["gate_up"]
        whole = rotary.cosine.shape[-1] == size and rotary.cosine.is_contiguous() and rotary.sine.is_contiguous()
        fits = size <= compiled.LARGEST_HEAD and gate_up % (2 * compiled.LANES) == 0
        return fits and whole and compiled.serves(hidden, rotary.cosine, rotary.sine)


class Stream:
    """The residual stream of a step, and `normed_LD`, what the norm before the next product makes of it."""

    def __init__(self, hidden_LD: Tensor, norm: Norm) -> None:
        self.normed_LD = torch.empty_like(hidden_LD)
        rows, width = hidden_LD.shape
        self._held = hidden_LD
        self._work = compiled.Norm(x=hidden_LD.data_ptr(), y=self.normed_LD.data_ptr(), rows=rows, size=width)
        self._apply(norm)

    def add(self, product_LD: Tensor, place: int | None, norm: Norm) -> None:
        """The residual connection and the norm after it. `place`: the address where the sum is wanted."""
        work = self._work
        work.added, work.sum = product_LD.data_ptr(), place or product_LD.data_ptr()
        self._apply(norm)
        work.x, self._held = work.sum, product_LD

    def _apply(self, norm: Norm) -> None:
        self._work.weight, self._work.epsilon = norm.weight_D.data_ptr(), norm.epsilon
        call(self._work)


def step(layer: FoldedLayer, stream: Stream, rotary: Rotary, cache: Rows, next_norm: Norm) -> None:
    """One layer, as `through` of policy/decoder.py."""
    rows = len(stream.normed_LD)
    attended_LO = _attended(layer, layer.qkv(stream.normed_LD), rotary, cache)
    stream.add(layer.output(attended_LO), layer.address("after_attention", rows), layer.before_mlp)
    gate_up_LO = layer.gate_up(stream.normed_LD)
    activated_LI = gate_up_LO.new_empty(rows, gate_up_LO.shape[1] // 2)
    work = compiled.SwiGlu(gate=gate_up_LO.data_ptr(), y=activated_LI.data_ptr(), rows=rows)
    work.size, work.stride = activated_LI.shape[1], gate_up_LO.shape[1]
    work.up, work.copy = work.gate + gate_up_LO.element_size() * work.size, layer.address("gate_up", rows)
    call(work)
    stream.add(layer.down(activated_LI), layer.address("after_mlp", rows), next_norm)


def _attended(layer: FoldedLayer, heads_LO: Tensor, rotary: Rotary, cache: Rows) -> Tensor:
    """Attention of queries, keys and values that stand side by side, before norm and rotation: [L, H x D]."""
    shape, size = layer.shape, layer.shape.head_size
    given = (layer.number, heads_LO, shape.heads, shape.key_heads, size)
    work = cache.attention(*given, scale=shape.scale, window=shape.window)
    out_LO = heads_LO.new_empty(len(heads_LO), shape.heads * size)
    number = heads_LO.element_size() * size
    work.query = heads_LO.data_ptr()
    work.new_key = work.query + shape.heads * number
    work.new_value = work.new_key + shape.key_heads * number
    work.query_row = work.new_key_row = work.new_value_row = heads_LO.shape[1]
    work.out, work.copy = out_LO.data_ptr(), layer.address("heads", len(heads_LO))
    work.cosine, work.sine = rotary.cosine.data_ptr(), rotary.sine.data_ptr()
    if layer.head_norms is not None:
        query_norm, key_norm = layer.head_norms
        work.query_norm, work.key_norm = query_norm.weight_D.data_ptr(), key_norm.weight_D.data_ptr()
        work.epsilon = query_norm.epsilon
    call(work)
    return out_LO
