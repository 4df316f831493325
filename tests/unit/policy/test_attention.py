"""Packed groups against the padded batch with transformers' own attention: log-probs and adapter gradients."""

import pytest
import torch

from paring.policy.packing import Shared, pack

TEMPERATURE = 0.8
# Prompt length, then the lengths of its completions.
BATCHES = {
    "one token after one token": [(1, [1])],
    "a group of one": [(7, [5])],
    "all of one length": [(9, [6, 6, 6])],
    "very different lengths": [(9, [1, 2, 40, 7, 33, 12, 1])],
    "many groups": [(1, [3, 1]), (12, [4]), (5, [9, 2, 30]), (8, [1, 1, 1]), (20, [5, 17]), (3, [2, 25])],
}


def random_batch(lengths, seed=3):
    generator = torch.Generator().manual_seed(seed)

    def tokens(count):
        return torch.randint(64, (count,), generator=generator).tolist()

    return [Shared(tokens(prompt), [tokens(count) for count in counts]) for prompt, counts in lengths]


def padded_log_probs(model, batch, side):
    """[B, T], by the plain way: every completion after its own copy of the prompt, one padded row each."""
    rows = [(list(group.prompt), list(own)) for group in batch for own in group.completions]
    longest = max(len(prompt) + len(own) for prompt, own in rows)
    token_BN = torch.zeros(len(rows), longest, dtype=torch.int64)
    real_BN = torch.zeros_like(token_BN)
    starts = [0 if side == "right" else longest - len(prompt) - len(own) for prompt, own in rows]
    for row, ((prompt, own), start) in enumerate(zip(rows, starts, strict=True)):
        token_BN[row, start : start + len(prompt + own)] = torch.tensor(prompt + own)
        real_BN[row, start : start + len(prompt + own)] = 1
    position_BN = (real_BN.cumsum(-1) - 1).clamp(min=0)
    logit_BNV = model(input_ids=token_BN, attention_mask=real_BN, position_ids=position_BN, use_cache=False).logits
    logp_BNV = torch.log_softmax(logit_BNV.float() / TEMPERATURE, dim=-1)
    out = torch.zeros(len(rows), max(len(own) for _, own in rows))
    for row, ((prompt, own), start) in enumerate(zip(rows, starts, strict=True)):
        first = start + len(prompt) - 1
        out[row, : len(own)] = logp_BNV[row, torch.arange(first, first + len(own)), own]
    return out


def gradients(adapters, logp_BT):
    """The gradient of a sum in which every token has a weight of its own."""
    weight_BT = torch.randn(logp_BT.shape, generator=torch.Generator().manual_seed(4))
    parameters = [parameter for adapter in adapters.values() for parameter in (adapter.A_RI, adapter.B_OR)]
    return torch.autograd.grad((logp_BT * weight_BT).sum(), parameters)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("lengths", BATCHES.values(), ids=BATCHES)
def test_packed_equals_padded(family, tiny, make_policy, with_adapters, lengths, side):
    batch = random_batch(lengths)
    policy = make_policy(family)
    packed_BT = policy.log_probs(pack(batch, policy.device), temperature=TEMPERATURE)
    plain = tiny(family)
    plain.set_attn_implementation("eager" if side == "left" else "sdpa")
    plain_adapters = with_adapters(plain)
    padded_BT = padded_log_probs(plain, batch, side)
    torch.testing.assert_close(packed_BT, padded_BT, rtol=0, atol=1e-4)
    expected, found = gradients(plain_adapters, padded_BT), gradients(policy.adapters, packed_BT)
    total = torch.stack([one.norm() for one in expected]).norm()
    for expected_one, found_one in zip(expected, found, strict=True):
        # Over a single key, queries and keys have no gradient: nothing but rounding, which the second term allows. The
        # rounding of either side moves a gradient by 2e-5 of itself where a group is ill-conditioned.
        assert (found_one - expected_one).norm() <= 5e-5 * expected_one.norm() + 1e-6 * total


def test_the_window_matters(make_policy):
    """Otherwise the agreement of a family with a sliding window would prove nothing."""
    batch = pack(random_batch(BATCHES["very different lengths"]), torch.device("cpu"))
    near, far = (
        make_policy("mistral", sliding_window=window).log_probs(batch, temperature=1.0) for window in (6, None)
    )
    assert (near - far).abs().max() > 0.1


def test_a_window_on_some_layers_only(tiny, make_policy, with_adapters):
    changes = dict(use_sliding_window=True, sliding_window=4, max_window_layers=1)
    batch = random_batch(BATCHES["many groups"])
    policy = make_policy("qwen2", **changes)
    assert policy.model.config.layer_types == ["full_attention", "sliding_attention"]
    plain = tiny("qwen2", **changes)
    with_adapters(plain)
    packed_BT = policy.log_probs(pack(batch, policy.device), temperature=TEMPERATURE)
    torch.testing.assert_close(packed_BT, padded_log_probs(plain, batch, "right"), rtol=0, atol=1e-4)


def test_bfloat16_stays_near_fp32(make_policy):
    batch = pack(random_batch(BATCHES["many groups"]), torch.device("cpu"))
    policy = make_policy()
    exact_BT = policy.log_probs(batch, temperature=1.0)
    policy.model.to(torch.bfloat16)
    assert (policy.log_probs(batch, temperature=1.0) - exact_BT).abs().mean() < 0.1
