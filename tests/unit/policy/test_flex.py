"""Flex attention against the padded blocks of the same spans: outputs and gradients of query, key and value."""

import pytest
import torch
from torch.nn.attention import flex_attention as torch_flex

from paring.policy import flex, packing
from paring.policy.flex import TILE, FlexLayout, works_on
from paring.policy.layout import PackedLayout, Span
from paring.policy.packing import layout_for

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


LONG = {
    "prompts of more than a tile": [(300, [200, 90, 1, 170]), (129, [260])],
    "at the bounds of tiles": [(128, [128, 256]), (256, [128])],
    "no prompt is shared": [(400, [0]), (213, [0])],
}


@pytest.mark.parametrize("window", [None, 6, 140])
@pytest.mark.parametrize("groups", [*ROWS.values(), *LONG.values()], ids=[*ROWS, *LONG])
def test_tiles_are_those_of_the_mask_made_whole(groups, window):
    """By torch's own way, from N x N booleans. A tile half own tokens and half prefix counts as seen in part."""
    spans = spans_of(groups)
    total = sum(span.length for span in spans)
    found = FlexLayout(spans, CPU)._mask(window)
    expected = torch_flex.create_block_mask(found.mask_mod, None, None, total, total, device="cpu", BLOCK_SIZE=TILE)
    assert found.shape == expected.shape and torch.equal(found.to_dense(), expected.to_dense())
    whole, theirs = ({*map(tuple, full_tiles(one).nonzero().tolist())} for one in (found, expected))
    assert whole <= theirs
    for _, key in theirs - whole:
        starts = {span.start for span in spans}
        assert starts & set(range(key * TILE + 1, (key + 1) * TILE)), "a tile within one run was not seen to be whole"


def full_tiles(mask) -> torch.Tensor:
    """bool [Q, K]."""
    count_Q, order_QK = mask.full_kv_num_blocks[0, 0], mask.full_kv_indices[0, 0]
    listed_QK = torch.arange(order_QK.shape[1]) < count_Q[:, None]
    return torch.zeros_like(order_QK, dtype=torch.bool).scatter(1, order_QK.long(), listed_QK)


def test_tiles_are_found_without_a_wait(waits):
    layout = FlexLayout(spans_of(LONG["prompts of more than a tile"]), CPU)
    with waits:
        flex.tiles(layout.own_N, layout.prefix_N, layout.prefix_end_N)
    assert not waits.counts


def test_where_the_kernel_cannot_be_compiled_padded_blocks_serve(monkeypatch):
    works_on.cache_clear()
    assert works_on(CPU)
    works_on.cache_clear()

    def failing(*_, **__):
        raise RuntimeError("no C compiler\nat length")

    monkeypatch.setattr(flex, "flex_attention", failing)
    with pytest.warns(UserWarning, match="runs in padded blocks, which is slower: no C compiler$") as warned:
        assert not works_on(CPU) and not works_on(CPU)
    assert len(warned) == 1
    works_on.cache_clear()


def test_a_gpu_takes_the_kernel_for_more_than_a_tile_where_it_works(monkeypatch):
    monkeypatch.setattr(packing, "works_on", lambda device: True)
    cuda = torch.device("cuda")
    assert [layout_for(tokens, cuda) for tokens in (TILE, TILE + 1)] == [PackedLayout, FlexLayout]
    assert layout_for(TILE + 1, CPU) is PackedLayout
    monkeypatch.setattr(packing, "works_on", lambda device: False)
    assert layout_for(TILE + 1, cuda) is PackedLayout
