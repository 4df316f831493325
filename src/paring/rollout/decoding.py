"""Decoding in packed steps: prompts prefilled once a group, rows decoded together; ended rows leave, others join."""

from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch import Tensor

from paring.policy.recording import Trace
from paring.rollout.cache import Prefill, Rows
from paring.rollout.engine import Sampling
from paring.rollout.noise import draw
from paring.rollout.packed_policy import Sampler
from paring.rollout.stopping import Stops


class Decoding:
    """One call of `sample`: B completions, of which some rows are under way and some groups still wait.

    A row is one completion being decoded: `row_L` says which. Where groups wait, they take the places of rows that
    have ended, so that the batch stays wide."""

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
        self.uniform_BT = torch.from_numpy(noise_BT).to(device)
        self.token_BT = torch.zeros(noise_BT.shape, dtype=torch.int64, device=device)
        self.logp_BT = torch.zeros(noise_BT.shape, device=device)
        self.length_B = torch.zeros(len(noise_BT), dtype=torch.int64, device=device)
        self.ends_E, self.stops = torch.tensor(sorted(ends), device=device), stops
        self.row_L = torch.zeros(0, dtype=torch.int64, device=device)
        self.joined = 0
        self.cache = Rows(device)
        self.recording = sampler.recording
        self.prompt_rows: list[Tensor] = []
        self.fed_BT = torch.zeros_like(self.token_BT)
        """Rows of the recording where each token of a completion stands that was fed."""

    def run(self, most_groups: int) -> None:
        """Decode all completions, at most `most_groups` groups at once."""
        logit_LV = None
        while self.joined < len(self.prompts) or len(self.row_L):
            room = most_groups - -(-len(self.row_L) // self.group_size)
            if self.joined < len(self.prompts) and room > 0:
                new_LV = self._join(room)
                logit_LV = new_LV if logit_LV is None else torch.cat([logit_LV, new_LV])
            assert logit_LV is not None, "no row is under way, and none can join"
            logit_LV = self._step(self._draw(logit_LV))

    def _join(self, groups: int) -> Tensor:
        """The next groups' prompts once through the model; the logits after each serve all of its group: [L, V]."""
        prompts = self.prompts[self.joined : self.joined + groups]
        device = self.row_L.device
        layout = Prefill([len(prompt) for prompt in prompts], device)
        token_N = torch.tensor([token for prompt in prompts for token in prompt], device=device)
        position_N = torch.cat([torch.arange(len(prompt)) for prompt in prompts]).to(device)
        hidden_1ND = self.sampler.hidden(token_N[None], position_N[None], layout)
        if self.recording is not None:
            self.prompt_rows += self.recording.count(len(token_N)).split([len(prompt) for prompt in prompts])
        logit_PV = self.sampler.logits(hidden_1ND[0, layout.last_P])
        self.cache.join(layout, self.group_size)
        first = self.joined * self.group_size
        self.row_L = torch.cat([self.row_L, torch.arange(first, first + len(prompts) * self.group_size, device=device)])
        self.joined += len(prompts)
        return logit_PV.repeat_interleave(self.group_size, dim=0)

    def _draw(self, logit_LV: Tensor) -> Tensor:
        """One token for each row, of which those that it ends leave at once: int64 [L]."""
        place_L = self.length_B[self.row_L]
        token_L, logp_L = draw(logit_LV, self.uniform_BT[self.row_L, place_L], self.sampling)
        self.token_BT[self.row_L, place_L], self.logp_BT[self.row_L, place_L] = token_L, logp_L
        self.length_B[self.row_L] += 1
        live_L = ~torch.isin(token_L, self.ends_E) & (place_L + 1 < self.sampling.max_new_tokens)
        if self.stops is not None:
            live_L &= ~self.stops.completed(token_L, lambda row: self._drawn(int(self.row_L[row])))
        if not live_L.all():
            kept_L = self.cache.keep(live_L)
            self.row_L, token_L = self.row_L[kept_L], token_L[kept_L]
        return token_L

    def _drawn(self, row: int) -> list[int]:
        return self.token_BT[row, : int(self.length_B[row])].tolist()

    def _step(self, token_L: Tensor) -> Tensor | None:
        """Logits [L, V] after one more token of each row; None where no row is left."""
        if len(token_L) == 0:
            return None
        hidden_L1D = self.sampler.hidden(token_L[:, None], self.cache.position_L1, self.cache)
        self.cache.advance()
        if self.recording is not None:
            self.fed_BT[self.row_L, self.length_B[self.row_L] - 1] = self.recording.count(len(token_L))
        return self.sampler.logits(hidden_L1D[:, 0])

    def traces(self) -> list[Trace | None]:
        """Where the recording has each group; None where there is none, or where it became too large."""
        if self.recording is None or self.recording.rows > self.recording.room:
            return [None] * len(self.prompts)
        fed = [row_T[: length - 1] for row_T, length in zip(self.fed_BT, self.length_B.tolist(), strict=True)]
        size = self.group_size
        return [
            Trace(self.recording, self.recording.rollout, rows, fed[number * size : (number + 1) * size])
            for number, rows in enumerate(self.prompt_rows)
        ]
