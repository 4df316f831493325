"""Keys and values of a rollout: each prompt's once for its group, and each row's own tokens."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from paring.policy.layout import PackedLayout, Span
from paring.rollout.attention import Part, attend, bias_of, joined

BLOCK = 32
"""Own tokens for which room is made at a time."""
Layers = dict[int, tuple[Tensor, Tensor]]
"""Keys and values of each layer."""


class Prompts:
    """Layout of the prefill: prompts packed in one row, whose keys and values are kept, padded, for their groups."""

    def __init__(self, lengths: list[int], device: torch.device) -> None:
        starts = torch.tensor([0, *lengths]).cumsum(0)[:-1].tolist()
        self.layout = PackedLayout([Span(*run) for run in zip(starts, lengths, strict=True)], device)
        start_P, self.length_P = torch.tensor(starts, device=device), torch.tensor(lengths, device=device)
        self.last_P = start_P + self.length_P - 1
        slots = torch.arange(max(lengths), device=device)
        self.index_PK = (start_P[:, None] + slots).clamp(max=sum(lengths) - 1)
        self.layers: Layers = {}

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scale: float, window: int | None):
        self.layers[layer] = (self._padded(key), self._padded(value))
        return self.layout.attend(layer, query, key, value, scale=scale, window=window)

    def _padded(self, new_1HND: Tensor) -> Tensor:
        """[1, H, N, D] packed -> [P, H, K, D], one prompt a row."""
        return new_1HND[0].transpose(0, 1)[self.index_PK].transpose(1, 2)


class Rows:
    """Layout of a decoding step: B rows of one new token, each after its group's prompt and its own tokens.

    Attention over the prompt is computed for a group's rows together against keys that stand there once, attention
    over the own tokens row by row; the two are joined by their log-sum-exp, which is exactly one softmax over both.

    All rows write to the same slot of the own tokens, the number of the step; a row that joined later begins at a
    later slot and does not see those before. Slots that no row sees any more are given back."""

    def __init__(self, device: torch.device) -> None:
        self.slot = 0
        self.prompt_length_P = torch.zeros(0, dtype=torch.int64, device=device)
        self.group_B = torch.zeros_like(self.prompt_length_P)
        self.first_B = torch.zeros_like(self.prompt_length_P)
        self.prompt_layers: Layers = {}
        self.own_layers: Layers = {}
        self._biases: dict[tuple[str, int | None], Tensor | None] = {}

    @property
    def position_B1(self) -> Tensor:
        """Position of the new token of each row."""
        return (self.prompt_length_P[self.group_B] + self.slot - self.first_B)[:, None]

    def join(self, prompts: Prompts, group_size: int) -> None:
        """`group_size` new rows for each prompt, after the rows that are there."""
        groups, device = len(prompts.length_P), self.group_B.device
        if len(self.group_B) == 0:
            self.slot, self.own_layers, self.prompt_layers = 0, {}, {}
        new_B = torch.arange(groups, device=device).repeat_interleave(group_size)
        self.group_B = torch.cat([self.group_B, new_B + len(self.prompt_length_P)])
        self.first_B = torch.cat([self.first_B, torch.full_like(new_B, self.slot)])
        self.prompt_length_P = torch.cat([self.prompt_length_P, prompts.length_P])
        for layer, new in prompts.layers.items():
            self.prompt_layers[layer] = _stacked(self.prompt_layers.get(layer), new)
        for layer, held in self.own_layers.items():
            self.own_layers[layer] = tuple(torch.cat([h, h.new_zeros(len(new_B), *h.shape[1:])]) for h in held)
        self._arrange()

    def keep(self, live_B: Tensor) -> Tensor:
        """Only these rows go on: bool [B]. The last of them take the places of those that leave, so that only they
        are copied. Returns which row stands where from now on: int64 [B']. Groups of which no row goes on give their
        prompt's keys back."""
        live = int(live_B.sum())
        row_B = torch.arange(live, device=live_B.device)
        left_B, moved_B = (~live_B[:live]).nonzero()[:, 0], live_B[live:].nonzero()[:, 0] + live
        row_B[left_B] = moved_B
        self.first_B = self.first_B[row_B]
        unseen = int(self.first_B.min()) if live else 0
        for layer, held in self.own_layers.items():
            for part in held:
                part[left_B] = part[moved_B]
            self.own_layers[layer] = tuple(part[:live, :, unseen:] for part in held)
        self.slot, self.first_B = self.slot - unseen, self.first_B - unseen
        going_P, self.group_B = self.group_B[row_B].unique(return_inverse=True)
        if len(going_P) < len(self.prompt_length_P):
            self.prompt_length_P = self.prompt_length_P[going_P]
            self.prompt_layers = {n: (k[going_P], v[going_P]) for n, (k, v) in self.prompt_layers.items()}
        self._arrange()
        return row_B

    def advance(self) -> None:
        """The step's new tokens count as own tokens from now on."""
        self.slot += 1
        self._biases = {key: bias for key, bias in self._biases.items() if key == ("prompt", None)}

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scale: float, window: int | None):
        rows, heads, _, size = query.shape
        key_heads = key.shape[1]
        query_BHRD = query.reshape(rows, key_heads, heads // key_heads, size)
        own = self._attend_own(layer, query_BHRD, key, value, scale, window)
        prompt = self._attend_prompt(query_BHRD, *self.prompt_layers[layer], scale, window)
        return joined(own, prompt).view(rows, 1, heads, size)

    def _arrange(self) -> None:
        """Row b stands at [group_B[b], place_B[b]] of the [P, S] table of rows by group; free places repeat row 0."""
        row_B = torch.arange(len(self.group_B), device=self.group_B.device)
        count_P = torch.bincount(self.group_B, minlength=len(self.prompt_length_P))
        order_B = self.group_B.argsort(stable=True)
        self.place_B = torch.empty_like(row_B)
        self.place_B[order_B] = row_B - (count_P.cumsum(0) - count_P)[self.group_B[order_B]]
        self.row_PS = self.group_B.new_zeros(len(count_P), int(count_P.max()) if len(count_P) else 0)
        self.row_PS[self.group_B, self.place_B] = row_B
        self._is_in_order = torch.equal(self.row_PS.flatten(), row_B)
        self._biases = {}

    def _attend_own(
        self, layer: int, query_BHRD: Tensor, key: Tensor, value: Tensor, scale: float, window: int | None
    ) -> Part:
        """The queries over their rows' own tokens, after the new one's key and value are written."""
        if layer not in self.own_layers:
            empty = key.new_zeros(*key.shape[:2], 0, key.shape[3])
            self.own_layers[layer] = (empty, empty)
        if self.slot == self.own_layers[layer][0].shape[2]:
            self.own_layers[layer] = tuple(functional.pad(held, (0, 0, 0, BLOCK)) for held in self.own_layers[layer])
        own_key, own_value = self.own_layers[layer]
        own_key[:, :, self.slot], own_value[:, :, self.slot] = key[:, :, 0], value[:, :, 0]
        seen = slice(0 if window is None else max(0, self.slot + 1 - window), self.slot + 1)
        bias = self._bias("own", window, lambda: self._own_bias(seen))
        return attend(query_BHRD, own_key[:, :, seen], own_value[:, :, seen], scale, bias)

    def _attend_prompt(
        self, query_BHRD: Tensor, key_PHKD: Tensor, value_PHKD: Tensor, scale: float, window: int | None
    ) -> Part:
        """(output [B, H, R, D], log-sum-exp [B, H, R, 1]) of the rows' queries over their groups' prompts."""
        groups, places = self.row_PS.shape
        _, heads, repeats, size = query_BHRD.shape
        table_PSHRD = query_BHRD.unflatten(0, (groups, places)) if self._is_in_order else query_BHRD[self.row_PS]
        by_group = table_PSHRD.transpose(1, 2).reshape(groups, heads, places * repeats, size)
        bias = self._bias("prompt", window, lambda: self._prompt_bias(key_PHKD.shape[2], repeats, window))
        parts = attend(by_group, key_PHKD, value_PHKD, scale, bias)
        return tuple(self._by_row(part.view(groups, heads, places, repeats, -1).transpose(1, 2)) for part in parts)

    def _by_row(self, table_PSHRD: Tensor) -> Tensor:
        """[P, S, H, R, D] -> [B, H, R, D]."""
        return table_PSHRD.flatten(0, 1) if self._is_in_order else table_PSHRD[self.group_B, self.place_B]

    def _bias(self, part: str, window: int | None, make: Callable[[], Tensor | None]) -> Tensor | None:
        """Made once for all layers of a step; that of the prompts without window holds until rows join or leave."""
        if (part, window) not in self._biases:
            self._biases[part, window] = make()
        return self._biases[part, window]

    def _own_bias(self, seen: slice) -> Tensor | None:
        """[B, 1, 1, K]; None where all rows joined at once, and so see the same slots."""
        if bool((self.first_B <= seen.start).all()):
            return None
        slot_K = torch.arange(seen.start, seen.stop, device=self.first_B.device)
        return bias_of((slot_K >= self.first_B[:, None])[:, None, None])

    def _prompt_bias(self, keys: int, repeats: int, window: int | None) -> Tensor:
        """[P, 1, 1, K], or [P, 1, S x R, K] where the window of a row depends on how far it is."""
        position_K = torch.arange(keys, device=self.group_B.device)
        seen_PQK = (position_K < self.prompt_length_P[:, None])[:, None]
        if window is not None:
            own_PS = self.slot - self.first_B[self.row_PS]
            before_PS = self.prompt_length_P[:, None] + own_PS - window
            seen_PQK = seen_PQK & (position_K > before_PS.repeat_interleave(repeats, dim=1)[:, :, None])
        return bias_of(seen_PQK[:, None])


def _stacked(held: tuple[Tensor, Tensor] | None, new: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Prompts' keys and values [P, H, K, D] one after the other, padded to the longest."""
    if held is None:
        return new
    longest = max(held[0].shape[2], new[0].shape[2])
    return tuple(
        torch.cat([functional.pad(part, (0, 0, 0, longest - part.shape[2])) for part in pair])
        for pair in zip(held, new, strict=True)
    )
