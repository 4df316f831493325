"""Token log-probs, entropies and divergences from hidden states and the head, a chunk at a time: N x V logits never
exist."""

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
    return _Chunked.apply(hidden_ND, head, token_N, temperature, None)[0]


@dataclass(frozen=True)
class Uniform:
    """The distribution that gives every token the same probability, whatever was said: KL to it is log V - entropy."""


@dataclass(frozen=True)
class TeacherStates:
    """Another model over the same tokens: its hidden states [N, D'] and its head, which has as many rows at least.
    Nothing of it gets a gradient."""

    hidden_ND: Tensor
    head: Head

    def log_probs(self, part: slice, vocabulary: int, temperature: float) -> Tensor:
        """Log-probs [C, V] over the first `vocabulary` tokens, which alone count."""
        return self.head(self.hidden_ND[part])[:, :vocabulary].div_(temperature).log_softmax(-1)


Other = Uniform | TeacherStates


def token_entropies(hidden_ND: Tensor, head: Head, token_N: Tensor, *, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probs as `token_logprobs` gives them, and the entropy H_n = -sum_v p_nv log p_nv in nats.

    It is exact, over the whole vocabulary, with p = softmax(head(hidden_n) / temperature). Both have a gradient. Two
    more chunks of logits are alive at once."""
    logp_N, minus_N = _Chunked.apply(hidden_ND, head, token_N, temperature, Uniform())
    return logp_N, -minus_N


def token_divergences(
    hidden_ND: Tensor, head: Head, token_N: Tensor, teacher: TeacherStates, *, temperature: float
) -> tuple[Tensor, Tensor]:
    """Log-probs as `token_logprobs` gives them, and the reverse KL divergence sum_v p_nv (log p_nv - log q_nv) in
    nats, with q the teacher's distribution at the same temperature. Both have a gradient. Four more chunks of logits
    are alive."""
    return _Chunked.apply(hidden_ND, head, token_N, temperature, teacher)


class _Chunked(torch.autograd.Function):
    """The log-probs, and sum_v p_v (log p_v - log q_v) where there is another distribution q: Uniform's log q counts as
    0, which makes it minus the entropy."""

    @staticmethod
    def forward(ctx, hidden_ND: Tensor, head: Head, token_N: Tensor, temperature: float, other: Other | None):
        assert not head.weight_VD.requires_grad, "the chunked backward gives the head no gradient: freeze it"
        logp_N = hidden_ND.new_empty(len(token_N), dtype=torch.float32)
        apart_N = torch.empty_like(logp_N if other else logp_N[:0])
        slope_ND = torch.empty_like(hidden_ND) if ctx.needs_input_grad[0] else None
        apart_slope_ND = torch.empty_like(slope_ND) if slope_ND is not None and other else None
        logits = CHUNK_LOGITS_GPU if hidden_ND.is_cuda else CHUNK_LOGITS
        size = max(1, logits // len(head.weight_VD))
        for start in range(0, len(token_N), size):
            part = slice(start, start + size)
            logit_CV = weight_CV = bend_CV = None  # the last chunk's go before this one's come
            logit_CV = head(hidden_ND[part])
            if slope_ND is not None and head.cap is not None:
                bend_CV = 1 - (logit_CV / head.cap).square_()
            logit_CV = logit_CV.div_(temperature)
            normaliser_C = logit_CV.logsumexp(-1)
            logp_N[part] = logit_CV.gather(-1, token_N[part, None])[:, 0] - normaliser_C
            if other:
                weight_CV, apart_N[part] = _apart(logit_CV, normaliser_C, other, part, temperature)
                if apart_slope_ND is not None:
                    apart_slope_ND[part] = _through(weight_CV, head, bend_CV, temperature)
            if slope_ND is not None:
                weight_CV = _towards(logit_CV, normaliser_C, token_N[part])
                slope_ND[part] = _through(weight_CV, head, bend_CV, temperature)
        ctx.slopes = slope_ND, apart_slope_ND
        return logp_N, apart_N

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_N: Tensor, apart_grad_N: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]  the decorator drops names
        slope_ND, apart_slope_ND = ctx.slopes
        into = grad_N[:, None] * slope_ND
        if apart_slope_ND is not None:
            into = into + apart_grad_N[:, None] * apart_slope_ND
        return into.to(slope_ND.dtype), None, None, None, None


def _towards(logit_CV: Tensor, normaliser_C: Tensor, token_C: Tensor) -> Tensor:
    """d logp_c / d logit_cv = [v = token_c] - p_cv. The logits are spent."""
    weight_CV = logit_CV.sub_(normaliser_C[:, None]).exp_().neg_()
    return weight_CV.scatter_add_(-1, token_C[:, None], torch.ones_like(weight_CV[:, :1]))


def _apart(
    logit_CV: Tensor, normaliser_C: Tensor, other: Other, part: slice, temperature: float
) -> tuple[Tensor, Tensor]:
    """D_c = sum_v p_cv a_cv with a = log p - log q, and d D_c / d logit_cv = p_cv (a_cv - D_c), since sum_v p_v = 1."""
    apart_CV = logit_CV - normaliser_C[:, None]
    p_CV = apart_CV.exp()
    if isinstance(other, TeacherStates):
        apart_CV.sub_(other.log_probs(part, logit_CV.shape[-1], temperature))
    apart_C = torch.einsum("cv,cv->c", p_CV, apart_CV)
    return apart_CV.sub_(apart_C[:, None]).mul_(p_CV), apart_C


def _through(weight_CV: Tensor, head: Head, bend_CV: Tensor | None, temperature: float) -> Tensor:
    """From d / d logit to d / d hidden_c = scale sum_v weight_cv bend_cv head[v] / temperature, with
    bend = 1 - (logit / cap)^2, which is 1 without a cap. The weights are spent."""
    if bend_CV is not None:
        weight_CV.mul_(bend_CV)
    slope_CD = product(weight_CV.to(head.weight_VD.dtype), head.weight_VD.T).div_(temperature)
    return slope_CD if head.scale == 1 else slope_CD.mul_(head.scale)
