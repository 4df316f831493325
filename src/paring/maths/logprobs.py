"""Token log-probs from hidden states and the head, a chunk at a time: N x V logits never exist."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from paring.maths.products import product

CHUNK_LOGITS = 2**24
"""Logits alive at once: 64 MB in fp32, some 340 rows of a vocabulary of 49,152, enough for the matrix product's full
rate; half as many cost it a quarter."""
CHUNK_LOGITS_GPU = 2**27
"""On a GPU, 512 MB: 883 rows of a vocabulary of 152,000. The head is read twice a chunk, so that few rows would wait
for it. Chosen by counting bytes, not by measuring."""


@dataclass(frozen=True)
class Head:
    """From hidden states h to logits: cap tanh(scale (W h + b) / cap), or scale (W h + b) where there is no cap."""

    weight_VD: Tensor
    bias_V: Tensor | None = None
    scale: float = 1.0
    cap: float | None = None

    def __call__(self, hidden: Tensor) -> Tensor:
        """fp32 logits [..., V] of hidden states [..., D]."""
        return self.bounded(product(hidden, self.weight_VD, self.bias_V))

    def in_type(self, dtype: torch.dtype) -> "Head":
        """The same head in this precision."""
        bias_V = None if self.bias_V is None else self.bias_V.to(dtype)
        return replace(self, weight_VD=self.weight_VD.to(dtype), bias_V=bias_V)

    def bounded(self, logit: Tensor) -> Tensor:
        """fp32 logits from W h + b, which may be overwritten."""
        logit = logit.float()
        if self.scale != 1:
            logit = logit.mul_(self.scale)
        return logit if self.cap is None else logit.div_(self.cap).tanh_() * self.cap


def token_logprobs(hidden_ND: Tensor, head: Head, token_N: Tensor, *, temperature: float = 1.0) -> Tensor:
    """log softmax(head(hidden_n) / temperature)[token_n], in fp32.

    The logits of one chunk are computed, used and dropped. The gradient of a log-prob with respect to its own hidden
    state needs nothing from later, so it is taken while the chunk's logits are there: two products with the head in
    all, where a backward that computes the logits again takes three. The head gets no gradient: it must be frozen.

    Args:
        hidden_ND: last hidden states [N, D].
        head: the output embedding, frozen.
        token_N: int64 [N], the tokens whose log-probs are computed.
        temperature: of the sampling distribution, > 0.
    """
    assert not head.weight_VD.requires_grad, "the chunked backward gives the head no gradient: freeze it"
    return _TokenLogProbs.apply(hidden_ND, head, token_N, temperature)


class _TokenLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden_ND: Tensor, head: Head, token_N: Tensor, temperature: float) -> Tensor:
        logp_N = hidden_ND.new_empty(len(token_N), dtype=torch.float32)
        slope_ND = torch.empty_like(hidden_ND) if ctx.needs_input_grad[0] else None
        logits = CHUNK_LOGITS_GPU if hidden_ND.is_cuda else CHUNK_LOGITS
        size = max(1, logits // len(head.weight_VD))
        for start in range(0, len(token_N), size):
            part = slice(start, start + size)
            logit_CV = head(hidden_ND[part])
            bend_CV = None
            if slope_ND is not None and head.cap is not None:
                bend_CV = 1 - (logit_CV / head.cap).square_()
            logit_CV = logit_CV.div_(temperature)
            normaliser_C = logit_CV.logsumexp(-1)
            logp_N[part] = logit_CV.gather(-1, token_N[part, None])[:, 0] - normaliser_C
            if slope_ND is not None:
                slope_ND[part] = _slope(logit_CV, normaliser_C, head, bend_CV, token_N[part], temperature)
        ctx.slope_ND = slope_ND
        return logp_N

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_N: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]  the decorator drops names
        return (grad_N[:, None] * ctx.slope_ND).to(ctx.slope_ND.dtype), None, None, None


def _slope(
    logit_CV: Tensor, normaliser_C: Tensor, head: Head, bend_CV: Tensor | None, token_C: Tensor, temperature: float
) -> Tensor:
    """d logp_c / d hidden_c = scale (bend_ct head[t] - sum_v p_cv bend_cv head[v]) / temperature, with t = token_c and
    bend = 1 - (logit / cap)^2, which is 1 without a cap. The logits are spent."""
    weight_CV = logit_CV.sub_(normaliser_C[:, None]).exp_().neg_()
    weight_CV.scatter_add_(-1, token_C[:, None], torch.ones_like(weight_CV[:, :1]))
    if bend_CV is not None:
        weight_CV.mul_(bend_CV)
    slope_CD = product(weight_CV.to(head.weight_VD.dtype), head.weight_VD.T).div_(temperature)
    return slope_CD if head.scale == 1 else slope_CD.mul_(head.scale)
