"""Keys and values of a decoding step of fixed sizes: where its rows stand, and what each of them sees."""

import torch
from torch import Tensor

from paring.policy.scores import PLAIN, Scores
from paring.rollout.cache import Layers, Prefill


class StaticRows:
    """Layout of a decoding step: P groups of G rows, of one new token each, after the group's prompt and own tokens.

    As in `Rows`, a prompt's keys and values stand once for its group, and one softmax covers both. Here each row writes
    to its own next slot, room for all tokens is there from the beginning, and masks follow from tensors."""

    def __init__(self, groups: int, group_size: int, prompt_slots: int, own_slots: int, device: torch.device) -> None:
        self.group_size, self.prompt_slots, self.own_slots = group_size, prompt_slots, own_slots
        self.prompt_length_P = torch.ones(groups, dtype=torch.int64, device=device)
        self.slot_L = torch.zeros(groups * group_size, dtype=torch.int64, device=device)
        """Where the new token of each row stands among its own."""
        self.row_L = torch.arange(groups * group_size, device=device)
        self.prompt_layers: Layers = {}
        self.own_layers: Layers = {}
        self.groups, self.seen_slots = groups, own_slots
        """Groups that a step is made for, which stand first, and own slots that any of their rows may see."""

    @property
    def rows(self) -> int:
        return self.groups * self.group_size

    def rows_of(self, places: Tensor) -> Tensor:
        """Rows of the groups at these places: int64 [P'] -> [P' x G]."""
        return (places[:, None] * self.group_size + self.row_L[: self.group_size]).flatten()

    @property
    def position_L1(self) -> Tensor:
        """Position of the new token of each row."""
        return (self._prompt_length_L + self.slot_L[: self.rows])[:, None]

    @property
    def _prompt_length_L(self) -> Tensor:
        return self.prompt_length_P[: self.groups, None].expand(-1, self.group_size).reshape(-1)

    def join(self, places: Tensor, prompts: Prefill) -> None:
        """Prompts take these places: int64 [P_new]."""
        self.prompt_length_P[places] = prompts.length_P
        for layer, new in prompts.layers.items():
            if layer not in self.prompt_layers:
                # Zeros: what no row sees is multiplied by 0, which must not meet what is not a number.
                heads, size = new[0].shape[1], [part.shape[3] for part in new]
                groups, rows = len(self.prompt_length_P), len(self.slot_L)
                key, value = (new[0].new_zeros(groups, heads, self.prompt_slots, one) for one in size)
                self.prompt_layers[layer] = key, value
                key, value = (new[0].new_zeros(rows, heads, self.own_slots, one) for one in size)
                self.own_layers[layer] = key, value
            for held, part in zip(self.prompt_layers[layer], new, strict=True):
                held[places, :, : part.shape[2]] = part

    def move(self, kept: Tensor) -> None:
        """The groups at these places stand first from now on: int64 [P']."""
        rows = self.rows_of(kept)
        for pair in self.prompt_layers.values():
            for part in pair:
                part[: len(kept)] = part[kept]
        for pair in self.own_layers.values():
            for part in pair:
                part[: len(rows), :, : self.seen_slots] = part[rows, :, : self.seen_slots]
        self.prompt_length_P[: len(kept)] = self.prompt_length_P[kept]
        self.slot_L[: len(rows)] = self.slot_L[rows]

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
        rows, heads, _, size = query.shape
        # Rows that have ended may stand at a slot beyond; what they write does not matter.
        key_heads, slot_L = key.shape[1], self.slot_L[: self.rows].clamp(max=self.seen_slots - 1)
        prompt_key_PHKD, prompt_value_PHKD = (part[: self.groups] for part in self.prompt_layers[layer])
        own_key_LHTD, own_value_LHTD = (part[: self.rows, :, : self.seen_slots] for part in self.own_layers[layer])
        row_L = self.row_L[: self.rows]
        own_key_LHTD[row_L, :, slot_L], own_value_LHTD[row_L, :, slot_L] = key[:, :, 0], value[:, :, 0]
        query_LHUD = query.reshape(rows, key_heads, -1, size)
        prompt_score_LHUK = self._by_group(query_LHUD, prompt_key_PHKD.mT)
        score_LHUS = torch.cat([prompt_score_LHUK, query_LHUD @ own_key_LHTD.mT], dim=-1)
        weight_LHUS = scores.weights(score_LHUS.float() * scale, self._bias(window)).to(value.dtype)
        prompt_weight, own_weight = weight_LHUS.split([self.prompt_slots, self.seen_slots], dim=-1)
        out_LHUD = self._by_group(prompt_weight, prompt_value_PHKD) + own_weight @ own_value_LHTD
        return out_LHUD.reshape(rows, 1, heads, -1)

    def _by_group(self, part_LHUX: Tensor, matrix_PHXY: Tensor) -> Tensor:
        """Products of each row with its group's matrix, those of a group's rows as one: [L, H, U, Y]."""
        rows, heads, repeats, size = part_LHUX.shape
        table_PHQX = part_LHUX.unflatten(0, (self.groups, self.group_size)).transpose(1, 2)
        product_PHQY = table_PHQX.reshape(self.groups, heads, self.group_size * repeats, size) @ matrix_PHXY
        return product_PHQY.unflatten(2, (self.group_size, repeats)).transpose(1, 2).reshape(rows, heads, repeats, -1)

    def _bias(self, window: int | None) -> Tensor:
        """0 where a row sees, which is itself at least, and -inf elsewhere: [L, 1, 1, K + T]."""
        device, slot_L1 = self.slot_L.device, self.slot_L[: self.rows, None]
        prompt_K, own_T = (torch.arange(slots, device=device) for slots in (self.prompt_slots, self.seen_slots))
        prompt_LK, own_LT = prompt_K < self._prompt_length_L[:, None], own_T <= slot_L1
        if window is not None:
            prompt_LK, own_LT = prompt_LK & (prompt_K > self.position_L1 - window), own_LT & (own_T > slot_L1 - window)
        return torch.where(torch.cat([prompt_LK, own_LT], dim=1), 0.0, -torch.inf)[:, None, None]
