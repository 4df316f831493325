"""Attention over a part of the keys, and the join of two parts into one softmax over both."""

import torch
from torch import Tensor

Part = tuple[Tensor, Tensor]
"""Output [.., Q, D] and log-sum-exp of the scores [.., Q, 1]."""


UNSEEN = -1e30
"""Added to the score of a key that a query must not see: finite in every precision, so that a query that sees no key
of one part gets a log-sum-exp that loses against the other part's, and not NaN."""


def bias_of(seen: Tensor) -> Tensor:
    """What to add to the scores: 0 where seen, UNSEEN elsewhere."""
    return torch.zeros(seen.shape, device=seen.device).masked_fill_(~seen, UNSEEN)


def attend(query: Tensor, key: Tensor, value: Tensor, scale: float, bias: Tensor | None = None) -> Part:
    """Attention of queries [B, H, Q, D] over keys [B, H, K, D]. `bias`, [B, 1, 1 or Q, K], is added to the scores.

    On a CPU torch's fused kernel serves. It is at hand only under its internal name: scaled_dot_product_attention,
    which calls it, does not return the log-sum-exp."""
    if query.device.type != "cpu" or _FUSED is None:
        return plain(query, key, value, scale, bias)
    if bias is not None:
        bias = bias.to(query.dtype).expand(-1, -1, query.shape[2], -1)
    output, normaliser = _FUSED(query, key, value, attn_mask=bias, scale=scale)
    return output, normaliser[..., None]


def plain(query: Tensor, key: Tensor, value: Tensor, scale: float, bias: Tensor | None = None) -> Part:
    """The same, written out."""
    score = (query @ key.transpose(-1, -2)).float() * scale
    if bias is not None:
        score = score + bias
    normaliser = score.logsumexp(-1, keepdim=True)
    return (score - normaliser).exp().to(value.dtype) @ value, normaliser


def joined(one: Part, other: Part) -> Tensor:
    """One softmax over two sets of keys, from the attention over each: weights e^lse, normalised."""
    (out, normaliser), (other_out, other_normaliser) = one, other
    share = torch.sigmoid(other_normaliser - normaliser).to(out.dtype)
    return torch.lerp(out, other_out, share)


_FUSED = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)
