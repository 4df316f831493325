"""Flex attention against the padded blocks of the same spans: outputs and gradients of query, key and value."""

import pytest
import torch
from torch.nn.attention import flex_attention as torch_flex

from paring.policy.flex import FlexLayout
from paring.policy.layout import PackedLayout, Span

CPU = torch.device("cpu")
SCALE, WIDTH = 0.3, 16
# Prompt length, then the lengths of its completions in the row: a completion of one token takes no place there.
ROWS = {
    "one token": [(1, [0])],
    "a group of one": [(7, [5])],
    "uneven groups": [(9, [1, 0, 40, 7, 33, 12, 0])],
    "very different prompts": [(1, [3, 1]), (150, [4, 30]), (5, [9, 0, 2]), (70, [0, 0, 0]), (20, [5, 17])],
    "a multiple of the kernel's tile": [(56, [100, 100])],
}


@pytest.fixture(autouse=True)
def backward_on_the_cpu(monkeypatch):
    """torch refuses gradients of flex attention on a CPU, for want of a kernel. Its plain form, run here, has them."""
    monkeypatch.setattr(torch_flex, "_validate_device", lambda query, key, value: None)


def spans_of(groups) -> list[Span]:
    spans, start = [], 0
    for prompt, lengths in groups:
        first = start
        spans.append(Span(first, prompt))
        start += prompt
        for length in lengths:
            spans.append(Span(start, length, first, prompt))
            start += length
    return spans


def output_and_gradients(layout, total, kv_heads, window):
    """The output, and the gradient of a sum in which every output has a weight of its own."""
    generator = torch.Generator().manual_seed(5)
    shapes = [(1, heads, total, WIDTH) for heads in (4, kv_heads, kv_heads)]
    query, key, value = (torch.randn(shape, generator=generator).requires_grad_() for shape in shapes)
    weight_1NHD = torch.randn(1, total, 4, WIDTH, generator=generator)
    out_1NHD = layout.attend(0, query, key, value, scale=SCALE, window=window)
    return [out_1NHD, *torch.autograd.grad((out_1NHD * weight_1NHD).sum(), (query, key, value))]


@pytest.mark.parametrize("kv_heads", [4, 2])
@pytest.mark.parametrize("window", [None, 6])
@pytest.mark.parametrize("groups", ROWS.values(), ids=ROWS)
def test_equals_the_padded_blocks(groups, window, kv_heads):
    spans = spans_of(groups)
    total = sum(span.length for span in spans)
    found, expected = (
        output_and_gradients(kind(spans, CPU), total, kv_heads, window) for kind in (FlexLayout, PackedLayout)
    )
    for found_one, expected_one in zip(found, expected, strict=True):
        torch.testing.assert_close(found_one, expected_one, rtol=0, atol=1e-5)
