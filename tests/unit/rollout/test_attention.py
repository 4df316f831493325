"""Attention over a part of the keys against the written-out formula, and two parts against one softmax over both."""

import pytest
import torch

from paring.rollout import attention
from paring.rollout.attention import attend, bias_of, joined, plain

SCALE = 0.4


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


QUERY, KEY, VALUE = numbers(3, 2, 4, 8), numbers(3, 2, 7, 8, seed=1), numbers(3, 2, 7, 8, seed=2)
SEEN = torch.tensor([7, 4, 1])[:, None, None, None] > torch.arange(7)


@pytest.mark.parametrize("bias", [None, bias_of(SEEN), bias_of(SEEN.expand(-1, -1, 4, -1))], ids=str)
def test_the_fused_kernel_is_the_formula(bias):
    torch.testing.assert_close(attend(QUERY, KEY, VALUE, SCALE, bias), plain(QUERY, KEY, VALUE, SCALE, bias))


def test_without_the_fused_kernel_the_formula_serves(monkeypatch):
    expected = attend(QUERY, KEY, VALUE, SCALE)
    monkeypatch.setattr(attention, "_FUSED", None)
    torch.testing.assert_close(attend(QUERY, KEY, VALUE, SCALE), expected)


def test_two_parts_are_one_softmax():
    score = QUERY @ KEY.transpose(-1, -2) * SCALE
    whole = torch.softmax(score, -1) @ VALUE
    parts = [attend(QUERY, KEY[:, :, part], VALUE[:, :, part], SCALE) for part in (slice(3), slice(3, None))]
    torch.testing.assert_close(joined(*parts), whole)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_part_of_which_nothing_is_seen_does_not_count(dtype):
    query, key, value = (part.to(dtype) for part in (QUERY, KEY, VALUE))
    seen = attend(query, key, value, SCALE)
    unseen = attend(query, key, value, SCALE, bias_of(torch.zeros(3, 1, 1, 7, dtype=torch.bool)))
    assert torch.equal(joined(seen, unseen), seen[0])
