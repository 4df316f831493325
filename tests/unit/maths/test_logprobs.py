"""Chunked log-probs against torch.log_softmax, value and gradient, and what they keep in memory."""

import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from paring.maths import logprobs
from paring.maths.logprobs import Head, TeacherStates, token_divergences, token_entropies, token_logprobs

ROWS, FEATURES, VOCABULARY = 7, 5, 11


def inputs(dtype=torch.float32, *, rows=ROWS, vocabulary=VOCABULARY):
    generator = torch.Generator().manual_seed(0)
    hidden_ND = torch.randn(rows, FEATURES, generator=generator).to(dtype).requires_grad_()
    head_VD = torch.randn(vocabulary, FEATURES, generator=generator).to(dtype)
    token_N = torch.randint(vocabulary, (rows,), generator=generator)
    weight_N = torch.randn(rows, generator=generator)
    return hidden_ND, head_VD, token_N, weight_N


def plain(hidden_ND, head_VD, token_N, temperature):
    logit_NV = (hidden_ND @ head_VD.T).float() / temperature
    return torch.log_softmax(logit_NV, dim=-1).gather(-1, token_N[:, None])[:, 0]


def value_and_gradient(function, hidden_ND, *rest, weight_N):
    value_N = function(hidden_ND, *rest)
    (gradient_ND,) = torch.autograd.grad((value_N * weight_N).sum(), hidden_ND)
    return value_N.detach(), gradient_ND


def chunked(hidden_ND, head_VD, token_N, temperature):
    return token_logprobs(hidden_ND, Head(head_VD), token_N, temperature=temperature)


@pytest.mark.parametrize("temperature", [1.0, 0.6, 1.7])
@pytest.mark.parametrize("chunk_rows", [0.5, 1, 3, 7, 100])
def test_equal_to_log_softmax(monkeypatch, chunk_rows, temperature):
    monkeypatch.setattr(logprobs, "CHUNK_LOGITS", int(chunk_rows * VOCABULARY))
    *given, weight_N = inputs()
    found = value_and_gradient(chunked, *given, temperature, weight_N=weight_N)
    torch.testing.assert_close(
        found, value_and_gradient(plain, *given, temperature, weight_N=weight_N), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("cap", [None, 1.5])
@pytest.mark.parametrize("scale", [1.0, 0.3])
@pytest.mark.parametrize("has_bias", [False, True])
def test_a_head_with_bias_scale_and_cap(monkeypatch, has_bias, scale, cap, temperature):
    monkeypatch.setattr(logprobs, "CHUNK_LOGITS", 3 * VOCABULARY)
    hidden_ND, head_VD, token_N, weight_N = inputs()
    bias_V = torch.linspace(-1, 1, VOCABULARY) if has_bias else None

    def through_autograd(hidden_ND):
        logit_NV = scale * (hidden_ND @ head_VD.T + (bias_V if has_bias else 0))
        logit_NV = logit_NV if cap is None else cap * torch.tanh(logit_NV / cap)
        return torch.log_softmax(logit_NV / temperature, -1).gather(-1, token_N[:, None])[:, 0]

    def ours(hidden_ND):
        return token_logprobs(hidden_ND, Head(head_VD, bias_V, scale, cap), token_N, temperature=temperature)

    expected = value_and_gradient(through_autograd, hidden_ND, weight_N=weight_N)
    torch.testing.assert_close(value_and_gradient(ours, hidden_ND, weight_N=weight_N), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("cap", [None, 1.5])
@pytest.mark.parametrize("chunk_rows", [3, 100])
def test_entropy_and_divergence_over_the_vocabulary(monkeypatch, chunk_rows, cap, temperature):
    """With their gradients, beside those of the log-probs; the teacher has other widths and more rows."""
    monkeypatch.setattr(logprobs, "CHUNK_LOGITS", chunk_rows * VOCABULARY)
    hidden_ND, head_VD, token_N, weight_N = inputs()
    generator = torch.Generator().manual_seed(3)
    theirs_ND, their_VD = torch.randn(ROWS, 4, generator=generator), torch.randn(VOCABULARY + 2, 4, generator=generator)
    teacher = TeacherStates(theirs_ND, Head(their_VD))
    head = Head(head_VD, scale=0.7, cap=cap)

    def logs(hidden_ND):
        logit_NV = 0.7 * (hidden_ND @ head_VD.T)
        logit_NV = logit_NV if cap is None else cap * torch.tanh(logit_NV / cap)
        return torch.log_softmax(logit_NV / temperature, -1)

    def plain_entropies(hidden_ND):
        log_NV = logs(hidden_ND)
        logp_N, entropy_N = log_NV.gather(-1, token_N[:, None])[:, 0], -(log_NV.exp() * log_NV).sum(-1)
        return logp_N + 3 * entropy_N

    def plain_divergences(hidden_ND):
        log_NV, their_NV = logs(hidden_ND), theirs_ND @ their_VD[:VOCABULARY].T / temperature
        apart_N = (log_NV.exp() * (log_NV - their_NV.log_softmax(-1))).sum(-1)
        return log_NV.gather(-1, token_N[:, None])[:, 0] + 3 * apart_N

    def ours(function, *others):
        def both(hidden_ND):
            logp_N, second_N = function(hidden_ND, head, token_N, *others, temperature=temperature)
            assert torch.equal(logp_N, token_logprobs(hidden_ND, head, token_N, temperature=temperature))
            return logp_N + 3 * second_N

        return both

    pairs = (ours(token_entropies), plain_entropies), (ours(token_divergences, teacher), plain_divergences)
    for found, expected in pairs:
        torch.testing.assert_close(
            value_and_gradient(found, hidden_ND, weight_N=weight_N),
            value_and_gradient(expected, hidden_ND, weight_N=weight_N),
            rtol=1e-5,
            atol=2e-6,
        )


def test_the_entropy_of_a_uniform_and_of_a_certain_token():
    hidden_ND = torch.tensor([[0.0], [100.0]])
    _, entropy_N = token_entropies(hidden_ND, Head(torch.arange(4.0)[:, None]), torch.zeros(2).long(), temperature=1.0)
    assert entropy_N.tolist() == pytest.approx([1.3862944, 0.0])


def test_bfloat16_gives_fp32_log_probs_and_a_bfloat16_gradient():
    *given, weight_N = inputs(torch.bfloat16)
    value_N, gradient_ND = value_and_gradient(chunked, *given, 0.7, weight_N=weight_N)
    expected_N, expected_ND = value_and_gradient(plain, *given, 0.7, weight_N=weight_N)
    assert (value_N.dtype, gradient_ND.dtype) == (torch.float32, torch.bfloat16)
    torch.testing.assert_close(value_N, expected_N, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(gradient_ND, expected_ND, rtol=2e-2, atol=2e-2)


def test_gradient_is_the_slope():
    hidden_ND, head_VD, token_N, weight_N = inputs()
    _, gradient_ND = value_and_gradient(chunked, hidden_ND, head_VD, token_N, 1.3, weight_N=weight_N)
    step = 1e-2  # the values are fp32, so a smaller step would measure their rounding
    for place in [(0, 0), (3, 4), (6, 2)]:
        moved_ND = torch.zeros_like(hidden_ND).index_put_(tuple(map(torch.tensor, place)), torch.tensor(step))
        up, down = (
            float((chunked(hidden_ND.detach() + side, head_VD, token_N, 1.3) * weight_N).sum())
            for side in (moved_ND, -moved_ND)
        )
        assert (up - down) / (2 * step) == pytest.approx(float(gradient_ND[place]), abs=1e-3)


def test_no_rows():
    hidden_ND, head_VD, *_ = inputs()
    assert token_logprobs(hidden_ND[:0], Head(head_VD), torch.zeros(0, dtype=torch.int64)).tolist() == []


def test_logits_of_one_chunk_are_the_largest_tensor(monkeypatch):
    monkeypatch.setattr(logprobs, "CHUNK_LOGITS", 8 * 300)
    hidden_ND, head_VD, token_N, weight_N = inputs(rows=50, vocabulary=300)
    with LargestTensor() as seen:
        value_and_gradient(chunked, hidden_ND, head_VD, token_N, 0.9, weight_N=weight_N)
    with LargestTensor() as seen_with_entropy:
        sum(token_entropies(hidden_ND, Head(head_VD), token_N, temperature=0.9)).sum().backward()
    with LargestTensor() as seen_plain:
        value_and_gradient(plain, hidden_ND, head_VD, token_N, 0.9, weight_N=weight_N)
    assert seen_plain.made == 50 * 300
    assert seen.made == seen_with_entropy.made == 8 * 300


def test_the_logits_of_a_chunk_are_gone_before_the_next_are_made(monkeypatch):
    """A peak that `paring plan` counts on: with a teacher five chunks are alive, and not a sixth of the one before."""
    monkeypatch.setattr(logprobs, "CHUNK_LOGITS", 2 * VOCABULARY)
    made, alive, multiply = [], [], logprobs.product

    def watched(*given):
        out = multiply(*given)
        if out.shape[-1] == VOCABULARY:
            alive.append(sum(one() is not None for one in made))
            made.append(weakref.ref(out))
        return out

    monkeypatch.setattr(logprobs, "product", watched)
    hidden_ND, head_VD, token_N, _ = inputs(rows=6)
    token_logprobs(hidden_ND, Head(head_VD), token_N)
    assert alive == [0, 0, 0]
    alive.clear(), made.clear()
    teacher = TeacherStates(hidden_ND.detach(), Head(head_VD))
    token_divergences(hidden_ND, Head(head_VD), token_N, teacher, temperature=1.0)
    assert alive == [0, 1] * 3  # the policy's logits, then the teacher's beside them


def test_a_head_that_is_trained_is_refused():
    hidden_ND, head_VD, token_N, _ = inputs()
    with pytest.raises(AssertionError, match="freeze"):
        token_logprobs(hidden_ND, Head(head_VD.requires_grad_()), token_N)


class LargestTensor(TorchDispatchMode):
    """Notes the most elements of any tensor that an operation returns."""

    made = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        out = function(*arguments, **(keywords or {}))
        for value in out if isinstance(out, tuple) else (out,):
            if isinstance(value, torch.Tensor):
                self.made = max(self.made, value.numel())
        return out
