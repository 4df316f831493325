"""Keys and values of a rollout: each prompt's once for its group, and each row's own tokens."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from paring.maths import compiled
from paring.policy.layout import PackedLayout, Span
from paring.policy.scores import PLAIN, Scores

BLOCK = 32
"""Own tokens for which room is made at a time."""
KeysValues = tuple[Tensor, Tensor]
Layers = dict[int, KeysValues]
"""Keys and values of each layer."""


class Prefill:
    """Layout of the prefill: prompts packed in one row, whose keys and values are kept, padded, for their groups."""

    def __init__(self, lengths: list[int], device: torch.device) -> None:
        starts = torch.tensor([0, *lengths]).cumsum(0)[:-1].tolist()
        self.layout = PackedLayout([Span(*run) for run in zip(starts, lengths, strict=True)], device)
        start_P, self.length_P = torch.tensor(starts, device=device), torch.tensor(lengths, device=device)
        self.last_P = start_P + self.length_P - 1
        slots = torch.arange(max(lengths), device=device)
        self.index_PK = (start_P[:, None] + slots).clamp(max=sum(lengths) - 1)
        self.layers: Layers = {}

    def attend(
        self,
        layer: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        scale: float,
        window: int | None,
        scores: Scores = PLAIN,
    ) -> Tensor:
        if layer in self.layers:
            raise ValueError("a layer attends several times, and packed decoding keeps its keys once")
        self.layers[layer] = (self._padded(key), self._padded(value))
        return self.layout.attend(layer, query, key, value, scale=scale, window=window, scores=scores)

    def _padded(self, new_1HND: Tensor) -> Tensor:
        """[1, H, N, D] packed -> [P, H, K, D], one prompt a row; contiguous, since every step reads it."""
        return new_1HND[0].transpose(0, 1)[self.index_PK].transpose(1, 2).contiguous()


class Rows:
    """Layout of a decoding step: L rows of one new token, each after its group's prompt and its own tokens.

    Products with a prompt's keys and values, which stand there once, are taken for all rows of its group together,
    those with the own tokens' row by row; between them is one softmax over both. torch's fused kernel would need two
    answers joined by their log-sum-exp, which only an internal operator gives, for about the same time
    (bench/attention.py).

    All rows write to the same slot of the own tokens, the number of the step; a row that joined later begins at a
    later slot and does not see those before. Slots that no row sees any more are given back."""

    def __init__(self, device: torch.device) -> None:
        self.slot = 0
        self.prompt_length_P = torch.zeros(0, dtype=torch.int64, device=device)
        self.group_L = torch.zeros_like(self.prompt_length_P)
        self.first_L = torch.zeros_like(self.prompt_length_P)
        self.prompt_layers: Layers = {}
        self.own_layers: Layers = {}
        self._biases: dict[int | None, Tensor] = {}

    @property
    def position_L1(self) -> Tensor:
        """Position of the new token of each row."""
        return (self.prompt_length_P[self.group_L] + self.slot - self.first_L)[:, None]

    def join(self, prompts: Prefill, group_size: int) -> None:
        """`group_size` new rows for each prompt, after the rows that are there."""
        groups, device = len(prompts.length_P), self.group_L.device
        if len(self.group_L) == 0:
            self.slot, self.own_layers, self.prompt_layers = 0, {}, {}
        new_L = torch.arange(groups, device=device).repeat_interleave(group_size)
        self.group_L = torch.cat([self.group_L, new_L + len(self.prompt_length_P)])
        self.first_L = torch.cat([self.first_L, torch.full_like(new_L, self.slot)])
        self.prompt_length_P = torch.cat([self.prompt_length_P, prompts.length_P])
        for layer, new in prompts.layers.items():
            self.prompt_layers[layer] = _stacked(self.prompt_layers.get(layer), new)
        for layer, held in self.own_layers.items():
            self.own_layers[layer] = _both(held, lambda h: torch.cat([h, h.new_zeros(len(new_L), *h.shape[1:])]))
        self._arrange()

    def keep(self, live_L: Tensor) -> Tensor:
        """Only these rows go on: bool [L]. The last of them take the places of those that leave, so that only they
        are copied. Returns which row stands where from now on: int64 [L], the new one. A group whose rows all leave
        gives its prompt's keys back."""
        live = int(live_L.sum())
        row_L = torch.arange(live, device=live_L.device)
        left_L, moved_L = (~live_L[:live]).nonzero()[:, 0], live_L[live:].nonzero()[:, 0] + live
        row_L[left_L] = moved_L
        self.first_L = self.first_L[row_L]
        unseen = int(self.first_L.min()) if live else 0
        for layer, held in self.own_layers.items():
            for part in held:
                part[left_L] = part[moved_L]
            self.own_layers[layer] = _both(held, lambda part: part[:live, :, unseen:])
        self.slot, self.first_L = self.slot - unseen, self.first_L - unseen
        going_P, self.group_L = self.group_L[row_L].unique(return_inverse=True)
        if len(going_P) < len(self.prompt_length_P):
            self.prompt_length_P = self.prompt_length_P[going_P]
            self.prompt_layers = {n: (k[going_P], v[going_P]) for n, (k, v) in self.prompt_layers.items()}
        self._arrange()
        return row_L

    def advance(self) -> None:
        """The step's new tokens count as own tokens from now on."""
        self.slot += 1
        self._biases = {}

    def attend(
        self,
        layer: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        scale: float,
        window: int | None,
        scores: Scores = PLAIN,
    ) -> Tensor:
        fits = key.shape[3] == value.shape[3] <= compiled.LARGEST_HEAD
        if scores == PLAIN and fits and compiled.serves(query, key, value):
            return self._attend_compiled(layer, query, key, value, scale=scale, window=window)
        self._make_room(layer, key, key.shape[1], (key.shape[3], value.shape[3]))
        prompt_key_PHKD, prompt_value_PHKD = self.prompt_layers[layer]
        own_key_LHKD, own_value_LHKD = self.own_layers[layer]
        own_key_LHKD[:, :, self.slot], own_value_LHKD[:, :, self.slot] = key[:, :, 0], value[:, :, 0]
        seen = self._seen(window)
        own_key_LHKD, own_value_LHKD = own_key_LHKD[:, :, seen], own_value_LHKD[:, :, seen]
        rows, heads, _, size = query.shape
        query_LHUD = query.reshape(rows, key.shape[1], -1, size)
        score_LHUK = torch.cat([self._by_group(query_LHUD, prompt_key_PHKD.mT), query_LHUD @ own_key_LHKD.mT], dim=-1)
        slots = [prompt_key_PHKD.shape[2], own_key_LHKD.shape[2]]
        weight_LHUK = scores.weights(score_LHUK.float() * scale, self._bias(window, slots[0])).to(value.dtype)
        prompt_weight, own_weight = weight_LHUK.split(slots, dim=-1)
        out_LHUD = self._by_group(prompt_weight, prompt_value_PHKD) + own_weight @ own_value_LHKD
        return out_LHUD.reshape(rows, 1, heads, value.shape[3]).contiguous()

    def attention(
        self, layer: int, like: Tensor, heads: int, key_heads: int, size: int, *, scale: float, window: int | None
    ) -> Any:
        """Attention by compiled code over what is held, which takes the new keys and values in. The caller says where
        queries, new keys and values stand, and where the output goes: [L, heads, size], in the type of `like`."""
        self._make_room(layer, like, key_heads, (size, size))
        prompts, own = self.prompt_layers[layer], self.own_layers[layer]
        work = compiled.Attention(scale=scale, window=window or 0, slot=self.slot, prompt_slots=prompts[0].shape[2])
        work.rows, work.heads, work.key_heads, work.size = len(self.group_L), heads, key_heads, size
        work.prompt_key, work.prompt_value = prompts[0].data_ptr(), prompts[1].data_ptr()
        work.own_key, work.own_value = own[0].data_ptr(), own[1].data_ptr()
        work.own_row, work.own_head = own[0].stride(0), own[0].stride(1)
        work.group, work.first = self.group_L.data_ptr(), self.first_L.data_ptr()
        work.prompt_length = self.prompt_length_P.data_ptr()
        return work

    def _attend_compiled(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scale: float, window: int | None
    ) -> Tensor:
        rows, heads, _, size = query.shape
        query, key, value = (part[:, :, 0].contiguous() for part in (query, key, value))
        out = query.new_empty(rows, 1, heads, size)
        work = self.attention(layer, query, heads, key.shape[1], size, scale=scale, window=window)
        work.query, work.new_key, work.new_value = query.data_ptr(), key.data_ptr(), value.data_ptr()
        work.query_row, work.new_key_row, work.new_value_row = query.stride(0), key.stride(0), value.stride(0)
        work.out = out.data_ptr()
        compiled.call(work)
        return out

    def _arrange(self) -> None:
        """Row l stands at [group_L[l], place_L[l]] of the [P, G] table of rows by group; free places repeat row 0."""
        row_L = torch.arange(len(self.group_L), device=self.group_L.device)
        count_P = torch.bincount(self.group_L, minlength=len(self.prompt_length_P))
        order_L = self.group_L.argsort(stable=True)
        self.place_L = torch.empty_like(row_L)
        self.place_L[order_L] = row_L - (count_P.cumsum(0) - count_P)[self.group_L[order_L]]
        self.row_PG = self.group_L.new_zeros(len(count_P), int(count_P.max()) if len(count_P) else 0)
        self.row_PG[self.group_L, self.place_L] = row_L
        self._is_in_order = torch.equal(self.row_PG.flatten(), row_L)
        self._biases = {}

    def _make_room(self, layer: int, like: Tensor, key_heads: int, sizes: tuple[int, int]) -> None:
        """Keys and values [L, H_kv, K, D] of the own tokens have room for the new ones."""
        if layer not in self.own_layers:
            keys, values = (like.new_zeros(len(self.group_L), key_heads, 0, size) for size in sizes)
            self.own_layers[layer] = keys, values
        if self.slot == self.own_layers[layer][0].shape[2]:
            self.own_layers[layer] = _both(self.own_layers[layer], lambda held: functional.pad(held, (0, 0, 0, BLOCK)))

    def _seen(self, window: int | None) -> slice:
        """Slots of the own tokens up to the new one, and back to where the window of all rows begins."""
        return slice(0 if window is None else max(0, self.slot + 1 - window), self.slot + 1)

    def _by_group(self, part_LHUX: Tensor, matrix_PHXY: Tensor) -> Tensor:
        """Products of each row with its group's matrix, those of a group's rows as one:
        [L, H, U, X] and [P, H, X, Y] -> [L, H, U, Y]."""
        table_PGHUX = part_LHUX.unflatten(0, self.row_PG.shape) if self._is_in_order else part_LHUX[self.row_PG]
        groups, places, heads, repeats, size = table_PGHUX.shape
        product_PHQY = table_PGHUX.transpose(1, 2).reshape(groups, heads, places * repeats, size) @ matrix_PHXY
        product_PGHUY = product_PHQY.unflatten(2, (places, repeats)).transpose(1, 2)
        return product_PGHUY.flatten(0, 1) if self._is_in_order else product_PGHUY[self.group_L, self.place_L]

    def _bias(self, window: int | None, prompt_slots: int) -> Tensor:
        """The bias of the scores [L, H, U, K] of prompt and own tokens: 0 where a row sees, which is itself at
        least, and -inf elsewhere. Made once for all layers of a step."""
        if window not in self._biases:
            own = self._seen(window)
            prompt_K = torch.arange(prompt_slots, device=self.group_L.device)
            own_K = torch.arange(own.start, own.stop, device=self.group_L.device)
            prompt_LK = prompt_K < self.prompt_length_P[self.group_L][:, None]
            if window is not None:
                prompt_LK &= prompt_K > self.position_L1 - window
            seen_LK = torch.cat([prompt_LK, own_K >= self.first_L[:, None]], dim=1)
            self._biases[window] = torch.where(seen_LK, 0.0, -torch.inf)[:, None, None]
        return self._biases[window]


def _stacked(held: KeysValues | None, new: KeysValues) -> KeysValues:
    """Prompts' keys and values [P, H, K, D] one after the other, padded to the longest."""
    if held is None:
        return new
    longest = max(held[0].shape[2], new[0].shape[2])
    (keys, values), (new_keys, new_values) = (
        _both(pair, lambda part: functional.pad(part, (0, 0, 0, longest - part.shape[2]))) for pair in (held, new)
    )
    return torch.cat([keys, new_keys]), torch.cat([values, new_values])


def _both(held: KeysValues, change: Callable[[Tensor], Tensor]) -> KeysValues:
    return change(held[0]), change(held[1])
