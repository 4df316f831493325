"""Token log-probs from hidden states and the head, a chunk at a time: N x V logits never exist."""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_LOGITS = 2**23
"""Logits alive at once: 32 MB in fp32, small enough for caches, large enough for the matrix product."""


def token_logprobs(hidden_ND: Tensor, head_VD: Tensor, token_N: Tensor, *, temperature: float = 1.0) -> Tensor:
    """log softmax(hidden_n . head / temperature)[token_n], in fp32.

    Forward and backward each compute the logits of one chunk and drop them; between the two only one number a token
    is kept. The head gets no gradient: it must be frozen.

    Args:
        hidden_ND: last hidden states [N, D].
        head_VD: the output embedding [V, D], frozen.
        token_N: int64 [N], the tokens whose log-probs are asked.
        temperature: of the sampling distribution, > 0.
    """
    assert not head_VD.requires_grad, "the chunked backward gives the head no gradient: freeze it"
    return _TokenLogProbs.apply(hidden_ND, head_VD, token_N, temperature)


class _TokenLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden_ND: Tensor, head_VD: Tensor, token_N: Tensor, temperature: float) -> Tensor:
        logp_N = hidden_ND.new_empty(len(token_N), dtype=torch.float32)
        normaliser_N = torch.empty_like(logp_N)
        for part in _chunks(len(token_N), len(head_VD)):
            logit_CV = _logits(hidden_ND[part], head_VD, temperature)
            normaliser_N[part] = logit_CV.logsumexp(-1)
            logp_N[part] = logit_CV.gather(-1, token_N[part, None])[:, 0] - normaliser_N[part]
        ctx.save_for_backward(hidden_ND, head_VD, token_N, normaliser_N)
        ctx.temperature = temperature
        return logp_N

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_N: Tensor):
        """d logp_n / d hidden_n = (head[token_n] - sum_v p_nv head[v]) / temperature."""
        hidden_ND, head_VD, token_N, normaliser_N = ctx.saved_tensors
        grad_ND = torch.empty_like(hidden_ND)
        weight_N = grad_N / ctx.temperature
        for part in _chunks(len(token_N), len(head_VD)):
            logit_CV = _logits(hidden_ND[part], head_VD, ctx.temperature)
            weight_CV = logit_CV.sub_(normaliser_N[part, None]).exp_().mul_(-weight_N[part, None])
            weight_CV.scatter_add_(-1, token_N[part, None], weight_N[part, None])
            grad_ND[part] = weight_CV.to(head_VD.dtype) @ head_VD
        return grad_ND, None, None, None


def _logits(hidden_CD: Tensor, head_VD: Tensor, temperature: float) -> Tensor:
    return (hidden_CD @ head_VD.T).float().div_(temperature)


def _chunks(rows: int, vocabulary: int):
    size = max(1, CHUNK_LOGITS // vocabulary)
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))
