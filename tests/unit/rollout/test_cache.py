"""Attention of a decoding step against softmax over each row's own keys, while rows leave and others join."""

import pytest
import torch

from paring.rollout.cache import BLOCK, Prefill, Rows

HEADS, KEY_HEADS, SIZE, SCALE = 4, 2, 8, 0.4
CPU = torch.device("cpu")


class Told:
    """The cache, beside the keys and values of every row told one by one."""

    def __init__(self, dtype) -> None:
        self.cache, self.dtype, self.draw = Rows(CPU), dtype, torch.Generator().manual_seed(0)
        self.rows: list[list[tuple[torch.Tensor, torch.Tensor]]] = []

    def numbers(self, *shape):
        return torch.randn(*shape, generator=self.draw).to(self.dtype)

    def join(self, lengths, group_size) -> None:
        prompts = Prefill(lengths, CPU)
        packed = self.numbers(2, 1, KEY_HEADS, sum(lengths), SIZE)
        prompts.attend(0, self.numbers(1, HEADS, sum(lengths), SIZE), *packed, scale=SCALE, window=None)
        self.cache.join(prompts, group_size)
        for keys, values in zip(*(part[0].split(lengths, dim=1) for part in packed), strict=True):
            self.rows += [[(keys[:, n], values[:, n]) for n in range(keys.shape[1])] for _ in range(group_size)]

    def keep(self, live) -> None:
        self.rows = [self.rows[row] for row in self.cache.keep(torch.tensor(live)).tolist()]

    def step(self, window):
        """What the cache gives for one more token of each row, and what the formula gives."""
        query = self.numbers(len(self.rows), HEADS, 1, SIZE)
        key, value = self.numbers(2, len(self.rows), KEY_HEADS, 1, SIZE)
        found = self.cache.attend(0, query, key, value, scale=SCALE, window=window)
        self.cache.advance()
        for row, new in zip(self.rows, zip(key[:, :, 0], value[:, :, 0], strict=True), strict=True):
            row.append(new)
        told = [plain(query[n, :, 0], row[-window:] if window else row) for n, row in enumerate(self.rows)]
        return found[:, 0], torch.stack(told)


def plain(query_HD, row):
    """Softmax over the keys of one row, each key head serving as many query heads: [H, D]."""
    key_KHD, value_KHD = (
        torch.stack(part).float().repeat_interleave(HEADS // KEY_HEADS, 1) for part in zip(*row, strict=True)
    )
    weight_HK = torch.softmax(torch.einsum("hd,khd->hk", query_HD.float(), key_KHD) * SCALE, -1)
    return torch.einsum("hk,khd->hd", weight_HK, value_KHD)


@torch.no_grad()
@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("window", [None, 1, 5, 20])
@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-5), (torch.bfloat16, 5e-2)])
def test_attention_is_softmax_over_prompt_and_own_tokens(window, dtype, within):
    """Over prompts of unlike lengths, past a block of the cache, as rows leave unevenly, and as new groups join."""
    told = Told(dtype)

    def steps(count):
        for _ in range(count):
            found, expected = told.step(window)
            torch.testing.assert_close(found.float(), expected, atol=within, rtol=within)

    told.join([3, 11, 1], 4)
    steps(BLOCK + 2)
    told.keep([True, False, True, True, False, False, False, False, True, True, False, True])
    steps(3)
    told.join([6], 4)
    steps(4)
    told.keep([row > 3 for row in range(len(told.rows))])
    steps(BLOCK)


@torch.no_grad()
@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("size", [24, 40, 512, 520])
def test_heads_of_any_size(size):
    """520 is more than the compiled code takes."""
    cache, prompts = Rows(CPU), Prefill([5], CPU)
    prompts.layers[0] = (torch.randn(1, 1, 5, size), torch.randn(1, 1, 5, size))
    cache.join(prompts, 2)
    query, (key, value) = torch.randn(2, 6, 1, size), torch.randn(2, 2, 1, 1, size)
    found = cache.attend(0, query, key, value, scale=size**-0.5, window=None)
    keys, values = (
        torch.cat([held.expand(2, -1, -1, -1), new], dim=2)
        for held, new in zip(prompts.layers[0], (key, value), strict=True)
    )
    expected = torch.softmax(query @ keys.mT * size**-0.5, dim=-1) @ values
    torch.testing.assert_close(found[:, 0], expected[:, :, 0], rtol=1e-5, atol=1e-5)


@torch.no_grad()
@pytest.mark.usefixtures("way")
def test_what_is_not_a_number_stays_with_its_row():
    told = Told(torch.float32)
    told.join([3, 2], 2)
    query, key = torch.randn(4, HEADS, 1, SIZE), torch.randn(4, KEY_HEADS, 1, SIZE)
    key[1, 0, 0, 3] = torch.nan
    out = told.cache.attend(0, query, key, torch.randn(4, KEY_HEADS, 1, SIZE), scale=SCALE, window=None)
    is_number_LH = out[:, 0].isfinite().all(-1)
    assert is_number_LH.tolist() == [[True] * 4, [False, False, True, True], [True] * 4, [True] * 4]


def test_a_cache_that_emptied_takes_new_groups():
    told = Told(torch.float32)
    told.join([4], 2)
    told.step(None)
    told.keep([False, False])
    told.join([2, 5], 3)
    torch.testing.assert_close(*told.step(None))
