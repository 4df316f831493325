"""Keys and values of a rollout: each prompt's once for its group, and each row's own tokens."""

import torch
from torch import Tensor

from paring.policy.packing import PackedLayout, Span

BLOCK = 32
"""Own tokens for which room is made at a time."""


class Prompts:
    """Layout of the prefill: prompts packed in one row, whose keys and values are kept, padded, for their groups."""

    def __init__(self, lengths: list[int], device: torch.device) -> None:
        starts = torch.tensor([0, *lengths]).cumsum(0)[:-1].tolist()
        self.layout = PackedLayout([Span(*run) for run in zip(starts, lengths, strict=True)], device)
        start_P, self.length_P = torch.tensor(starts, device=device), torch.tensor(lengths, device=device)
        self.last_P = start_P + self.length_P - 1
        slots = torch.arange(max(lengths), device=device)
        self.index_PK = (start_P[:, None] + slots).clamp(max=sum(lengths) - 1)
        self.layers: dict[int, tuple[Tensor, Tensor]] = {}

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scale: float, window: int | None):
        self.layers[layer] = (self._padded(key), self._padded(value))
        return self.layout.attend(layer, query, key, value, scale=scale, window=window)

    def _padded(self, new_1HND: Tensor) -> Tensor:
        """[1, H, N, D] packed -> [P, H, K, D], one prompt a row."""
        return new_1HND[0].transpose(0, 1)[self.index_PK].transpose(1, 2)


class Rows:
    """Layout of a decoding step: B rows of one new token, each after its group's prompt and its own tokens.

    Attention over the prompt is computed for a group's rows together against keys that stand there once, attention
    over the own tokens row by row; the two are joined by their log-sum-exp, which is exactly one softmax over both."""

    def __init__(self, prompts: Prompts, group_size: int) -> None:
        groups = len(prompts.length_P)
        self.prompt_layers = dict(prompts.layers)
        self.prompt_length_P = prompts.length_P
        self.group_B = torch.arange(groups, device=prompts.length_P.device).repeat_interleave(group_size)
        self.own_layers: dict[int, tuple[Tensor, Tensor]] = {}
        self.length = 0
        self._arrange()

    @property
    def position_B1(self) -> Tensor:
        """Position of the new token of each row."""
        return (self.prompt_length_P[self.group_B] + self.length)[:, None]

    def keep(self, row_B: Tensor) -> None:
        """Only these rows go on; groups of which none does give their prompt's keys back."""
        group_B = self.group_B[row_B]
        going_P, self.group_B = group_B.unique(return_inverse=True)
        if len(going_P) < len(self.prompt_length_P):
            self.prompt_length_P = self.prompt_length_P[going_P]
            self.prompt_layers = {n: (k[going_P], v[going_P]) for n, (k, v) in self.prompt_layers.items()}
        self.own_layers = {n: (k[row_B], v[row_B]) for n, (k, v) in self.own_layers.items()}
        self._arrange()

    def advance(self) -> None:
        """The step's new tokens count as own tokens from now on."""
        self.length += 1

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scale: float, window: int | None):
        rows, heads, _, size = query.shape
        key_heads = key.shape[1]
        query_BHRD = (query * scale).view(rows, key_heads, heads // key_heads, size)
        own = _attend(query_BHRD, *self._own(layer, key, value, window))
        prompt = self._attend_prompt(query_BHRD, *self.prompt_layers[layer], window)
        return _joined(own, prompt).view(rows, 1, heads, size)

    def _arrange(self) -> None:
        """Row b stands at [group_B[b], slot_B[b]] of the [P, S] table of rows by group; free places repeat row 0."""
        count_P = torch.bincount(self.group_B, minlength=len(self.prompt_length_P))
        first_P = count_P.cumsum(0) - count_P
        self.slot_B = torch.arange(len(self.group_B), device=self.group_B.device) - first_P[self.group_B]
        self.row_PS = self.group_B.new_zeros(len(count_P), int(count_P.max()))
        self.row_PS[self.group_B, self.slot_B] = torch.arange(len(self.group_B), device=self.group_B.device)

    def _own(self, layer: int, key: Tensor, value: Tensor, window: int | None) -> tuple[Tensor, Tensor]:
        """The own keys and values [B, H, K, D] that the new token sees, after its own are written."""
        if layer not in self.own_layers:
            empty = key.new_zeros(*key.shape[:2], 0, key.shape[3])
            self.own_layers[layer] = (empty, empty)
        if self.length == self.own_layers[layer][0].shape[2]:
            room = key.new_zeros(*key.shape[:2], BLOCK, key.shape[3])
            self.own_layers[layer] = tuple(torch.cat([held, room], dim=2) for held in self.own_layers[layer])
        first = 0 if window is None else max(0, self.length + 1 - window)
        for held, new in zip(self.own_layers[layer], (key, value), strict=True):
            held[:, :, self.length] = new[:, :, 0]
        own_key, own_value = self.own_layers[layer]
        return own_key[:, :, first : self.length + 1], own_value[:, :, first : self.length + 1]

    def _attend_prompt(self, query_BHRD: Tensor, key_PHKD: Tensor, value_PHKD: Tensor, window: int | None):
        """(output [B, H, R, D], log-sum-exp [B, H, R, 1]) of the rows' queries over their groups' prompts."""
        groups, slots = self.row_PS.shape
        _, heads, repeats, size = query_BHRD.shape
        by_group = query_BHRD[self.row_PS].transpose(1, 2).reshape(groups, heads, slots * repeats, size)
        position_K = torch.arange(key_PHKD.shape[2], device=key_PHKD.device)
        seen_PK = position_K < self.prompt_length_P[:, None]
        if window is not None:
            seen_PK &= position_K > self.prompt_length_P[:, None] + self.length - window
        parts = _attend(by_group, key_PHKD, value_PHKD, seen_PK)
        return tuple(
            part.view(groups, heads, slots, repeats, -1).transpose(1, 2)[self.group_B, self.slot_B] for part in parts
        )


def _attend(query: Tensor, key: Tensor, value: Tensor, seen_PK: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Attention of scaled queries [.., Q, D] over keys [.., K, D], with the log-sum-exp of the scores [.., Q, 1]."""
    score = (query @ key.transpose(-1, -2)).float()
    if seen_PK is not None:
        score = score.masked_fill(~seen_PK[:, None, None], torch.finfo(score.dtype).min)
    normaliser = score.logsumexp(-1, keepdim=True)
    return (score - normaliser).exp().to(value.dtype) @ value, normaliser


def _joined(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> Tensor:
    """One softmax over two sets of keys, from the attention over each: weights e^lse, normalised."""
    (out, normaliser), (other_out, other_normaliser) = one, other
    share = torch.sigmoid(other_normaliser - normaliser).to(out.dtype)
    return out + (other_out - out) * share
