"""Decoding with tensors of fixed sizes, for GPUs: a step is the same work at the same places, so that it is captured
once as a CUDA graph and replayed, and Python waits for the device once in many tokens."""

from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch import Tensor

from paring.policy.recording import Trace
from paring.rollout.cache import Prefill
from paring.rollout.engine import Sampling
from paring.rollout.graphs import Graphs
from paring.rollout.noise import draw
from paring.rollout.packed_policy import Sampler
from paring.rollout.static_rows import StaticRows
from paring.rollout.stopping import Stops

CHECK_EVERY = 16
"""Steps from one look at which rows have ended to the next, the only wait of a rollout. A row that ends goes on until
then, and its tokens are not kept."""
LEAST_SLOTS = 128
"""Own tokens that a step attends to at least; from there on their number doubles."""


class StaticDecoding:
    """One call of `sample`: B completions of prompts that take turns in P places for groups. A group leaves when all of
    its rows have ended; where none waits, the others move together, and a step becomes smaller by halves.

    All is kept for B + 1 completions: rows without one write to the last, which is dropped."""

    def __init__(
        self,
        sampler: Sampler,
        prompts: Sequence[tuple[int, ...]],
        group_size: int,
        sampling: Sampling,
        noise_BT: np.ndarray,
        ends: Collection[int],
        device: torch.device,
        stops: Stops | None = None,
    ) -> None:
        self.sampler, self.prompts, self.group_size, self.sampling = sampler, prompts, group_size, sampling
        spare = np.zeros((1, noise_BT.shape[1]), dtype=noise_BT.dtype)
        self._uniform_BT = torch.from_numpy(np.concatenate([noise_BT, spare])).to(device)
        self._token_BT = torch.zeros(self._uniform_BT.shape, dtype=torch.int64, device=device)
        self._logp_BT = torch.zeros(self._uniform_BT.shape, device=device)
        self._length_B = torch.zeros(len(self._uniform_BT), dtype=torch.int64, device=device)
        self._end_E = torch.tensor(sorted(ends), device=device)
        self.device, self.joined, self.stops = device, 0, stops
        self.looked: dict[int, int] = {}
        """Tokens of each completion in which stop strings have been looked for."""
        self.drawn: dict[int, int] = {}
        """Tokens that a row of the group at each place has drawn, if it has not ended; places not in it are free."""

    @property
    def token_BT(self) -> Tensor:
        return self._token_BT[:-1]

    @property
    def logp_BT(self) -> Tensor:
        return self._logp_BT[:-1]

    @property
    def length_B(self) -> Tensor:
        return self._length_B[:-1]

    def traces(self) -> list[Trace | None]:
        """Nothing is recorded."""
        return [None] * len(self.prompts)

    def run(self, most_groups: int) -> None:
        """Decode all completions, at most `most_groups` groups at once."""
        groups, most = min(most_groups, len(self.prompts)), self.sampling.max_new_tokens
        self.rows = StaticRows(groups, self.group_size, max(map(len, self.prompts)), most, self.device)
        size = groups * self.group_size
        self.completion_L = torch.full((size,), len(self._length_B) - 1, device=self.device)
        self.token_L = torch.zeros(size, dtype=torch.int64, device=self.device)
        self.live_L = torch.zeros(size, dtype=torch.bool, device=self.device)
        graphs = Graphs(self.step, self.device)
        while self._fill():
            for _ in range(min(CHECK_EVERY, most - min(self.drawn.values()))):
                self.rows.seen_slots = min(most, max(LEAST_SLOTS, power_of_two(max(self.drawn.values()))))
                graphs.run(self.rows.groups, self.rows.seen_slots)
                self.drawn = {place: min(most, drawn + 1) for place, drawn in self.drawn.items()}
            if self.stops is not None:
                self._stop(self.stops)
            goes_on = self.live_L[: self.rows.rows].view(-1, self.group_size).any(1).tolist()
            self.drawn = {place: drawn for place, drawn in self.drawn.items() if goes_on[place]}
            if self.joined == len(self.prompts) and 0 < 2 * len(self.drawn) <= self.rows.groups:
                self._move_together()

    def step(self) -> None:
        """One more token of each row. Only tensors are read and written, the same ones for the same sizes."""
        rows = self.rows.rows
        hidden_L1D = self.sampler.hidden(self.token_L[:rows, None], self.rows.position_L1, self.rows)
        self._draw(self.sampler.logits(hidden_L1D[:, 0]), slice(0, rows))

    def _draw(self, logit_LV: Tensor, rows: slice | Tensor) -> None:
        """The next token of these rows, from its logits. A row that has ended stays as it is."""
        completion_L, live_L, last = self.completion_L[rows], self.live_L[rows], self.sampling.max_new_tokens - 1
        length_L = self._length_B[completion_L]
        place_L = length_L.clamp(max=last)
        at = completion_L, place_L
        token_L, logp_L = draw(logit_LV, self._uniform_BT[at], self.sampling)
        goes_on_L = live_L & (length_L < last) & (token_L[:, None] != self._end_E).all(-1)
        self._token_BT[at] = torch.where(live_L, token_L, self._token_BT[at])
        self._logp_BT[at] = torch.where(live_L, logp_L, self._logp_BT[at])
        self._length_B[completion_L] = length_L + live_L
        self.token_L[rows] = torch.where(live_L, token_L, self.token_L[rows])
        self.rows.slot_L[rows] = torch.where(live_L, place_L, self.rows.slot_L[rows])
        self.live_L[rows] = goes_on_L

    def _stop(self, stops: Stops) -> None:
        """Rows whose last tokens complete a stop string end there: what they have drawn beyond is not kept."""
        for row, completion in enumerate(self.completion_L[: self.rows.rows].tolist()):
            if completion < len(self.token_BT):
                tokens = self._token_BT[completion, : int(self._length_B[completion])].tolist()
                length = stops.length(tokens, self.looked.get(completion, 0))
                self.looked[completion] = len(tokens) if length is None else length
                if length is not None:
                    self._length_B[completion], self.live_L[row] = length, False

    def _fill(self) -> bool:
        """Waiting prompts take the free places: once through the model, then the first token of each of their rows.
        Whether any group is under way."""
        waiting = self.prompts[self.joined :]
        free = [place for place in range(self.rows.groups) if place not in self.drawn][: len(waiting)]
        if free:
            prompts = waiting[: len(free)]
            layout = Prefill([len(prompt) for prompt in prompts], self.device)
            token_N = torch.tensor([token for prompt in prompts for token in prompt], device=self.device)
            position_N = torch.cat([torch.arange(len(prompt)) for prompt in prompts]).to(self.device)
            hidden_1ND = self.sampler.hidden(token_N[None], position_N[None], layout)
            logit_PV = self.sampler.logits(hidden_1ND[0, layout.last_P])
            places = torch.tensor(free, device=self.device)
            self.rows.join(places, layout)
            rows, first = self.rows.rows_of(places), self.joined * self.group_size
            self.completion_L[rows] = torch.arange(first, first + len(free) * self.group_size, device=self.device)
            self.live_L[rows] = True
            self._draw(logit_PV.repeat_interleave(self.group_size, dim=0), rows)
            self.joined += len(free)
            self.drawn |= dict.fromkeys(free, 1)
        return bool(self.drawn)

    def _move_together(self) -> None:
        """The groups that go on stand first, and the places behind them are given up."""
        kept = torch.tensor(list(self.drawn), device=self.device)
        rows = self.rows.rows_of(kept)
        self.rows.move(kept)
        for state_L in (self.completion_L, self.token_L, self.live_L):
            state_L[: len(rows)] = state_L[rows]
        self.rows.groups = len(self.drawn)
        self.drawn = dict(enumerate(self.drawn.values()))


def in_fixed_sizes(device: torch.device) -> bool:
    """Whether rollouts are decoded so. A CPU waits for nothing, and gains by the rows that leave at once."""
    return device.type == "cuda"


def power_of_two(number: int) -> int:
    """The least power of 2 that is no less: of 1 or more."""
    return 1 << (number - 1).bit_length()
