"""Sampling by transformers' own `generate`, with its attention and its cache: for models that are not packed.

Where even that is not right for a family, each token is sampled by a pass over its whole sequence.

No row is padded: all rows of a batch stand at the same position. The batch begins with as many tokens as its shortest
prompt has; a row whose prompt is longer is fed the rest of it, a token a step, while others answer already. This holds
for attention, windows and states alike, and what a row draws does not depend on the rows beside it."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import numpy as np
import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    StoppingCriteria,
    StoppingCriteriaList,
)

from paring.policy.head import into_head
from paring.policy.model import Policy
from paring.rollout.engine import Sampling
from paring.rollout.noise import draw
from paring.rollout.stopping import Stops


class Generation:
    """One call of `sample`: B completions, a batch of rows at a time, prompts of similar length together."""

    def __init__(
        self,
        policy: Policy,
        prompts: Sequence[tuple[int, ...]],
        group_size: int,
        sampling: Sampling,
        noise_BT: np.ndarray,
        ends: Collection[int],
        stops: Stops | None = None,
    ) -> None:
        device = policy.device
        self.policy, self.group_size, self.sampling = policy, group_size, sampling
        self.prompts = [prompt for prompt in prompts for _ in range(group_size)]
        """The prompt of each completion."""
        self.uniform_BT = torch.from_numpy(noise_BT).to(device)
        self.token_BT = torch.zeros(noise_BT.shape, dtype=torch.int64, device=device)
        self.logp_BT = torch.zeros(noise_BT.shape, device=device)
        self.length_B = torch.zeros(len(noise_BT), dtype=torch.int64, device=device)
        self.ends_E, self.stops = torch.tensor(sorted(ends), device=device), stops

    def run(self, rows: int) -> None:
        """Generate all completions, at most `rows` at once."""
        order = sorted(range(len(self.prompts)), key=lambda number: len(self.prompts[number]))
        for start in range(0, len(order), rows):
            self._generate(order[start : start + rows])

    def traces(self) -> list[None]:
        """Nothing is recorded for the update."""
        return [None] * (len(self.prompts) // self.group_size)

    def _generate(self, numbers: Sequence[int]) -> None:
        """The completions of these numbers, together."""
        batch = Batch(self, numbers)
        first_RL = batch.prompt_RL[:, : int(batch.prompt_length_R.min())]
        model = self.policy.model
        if self.policy.recomputes:
            self._recompute(batch, first_RL)
            return
        most = batch.prompt_RL.shape[1] - first_RL.shape[1] + self.sampling.max_new_tokens
        generate = cast("Callable[..., object]", model.generate)  # Policy has seen to it that there is one
        with neutral(model):
            generate(
                first_RL,
                generation_config=GenerationConfig(max_new_tokens=most, do_sample=False, use_cache=True),
                logits_processor=LogitsProcessorList([Drawing(batch)]),
                stopping_criteria=StoppingCriteriaList([AllEnded(batch)]),
            )

    def _recompute(self, batch: "Batch", token_RL: Tensor) -> None:
        """The same without a cache: a pass over all tokens so far for the next of each row."""
        while not batch.ended_R.all():
            hidden_RLD = into_head(self.policy.model, input_ids=token_RL)
            token_R = batch.next(token_RL.shape[1], self.policy.logits(hidden_RLD[:, -1]))
            token_RL = torch.cat([token_RL, token_R[:, None]], dim=1)


class Batch:
    """R rows under way: row r is completion `row_R`[r]; its next token is one of its prompt, or drawn."""

    def __init__(self, generation: Generation, numbers: Sequence[int]) -> None:
        device = generation.token_BT.device
        prompts = [torch.tensor(generation.prompts[number]) for number in numbers]
        self.generation = generation
        self.row_R = torch.tensor(numbers, device=device)
        self.prompt_RL = torch.nn.utils.rnn.pad_sequence(prompts, batch_first=True).to(device)
        self.prompt_length_R = torch.tensor([len(prompt) for prompt in prompts], device=device)
        self.ended_R = torch.zeros(len(prompts), dtype=torch.bool, device=device)

    def next(self, place: int, logit_RV: Tensor) -> Tensor:
        """The token of each row at this place of its sequence, from the logits there, recorded where it is drawn: int64
        [R]. What an ended row is fed is of no use to it."""
        made, sampling = self.generation, self.generation.sampling
        own_R = (place - self.prompt_length_R).clamp(min=0, max=sampling.max_new_tokens - 1)
        token_R, logp_R = draw(logit_RV, made.uniform_BT[self.row_R, own_R], sampling)
        is_prompt_R = place < self.prompt_length_R
        drawn_R = ~is_prompt_R & ~self.ended_R
        row_D, own_D, token_D = self.row_R[drawn_R], own_R[drawn_R], token_R[drawn_R]
        made.token_BT[row_D, own_D], made.logp_BT[row_D, own_D] = token_D, logp_R[drawn_R]
        made.length_B[row_D] += 1
        ends_R = torch.isin(token_R, made.ends_E) | (own_R + 1 == sampling.max_new_tokens)
        if made.stops is not None:
            ends_R |= made.stops.completed(token_R, lambda row: self._drawn(int(self.row_R[row])))
        self.ended_R |= drawn_R & ends_R
        if place >= self.prompt_RL.shape[1]:
            return token_R
        return torch.where(is_prompt_R, self.prompt_RL[:, place], token_R)

    def _drawn(self, number: int) -> list[int]:
        """The tokens of a completion so far."""
        return self.generation.token_BT[number, : int(self.generation.length_B[number])].tolist()


class Drawing(LogitsProcessor):
    """Leaves of all logits only that of the token which the batch takes."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]  their types are narrower than what they get
        token_R = self.batch.next(input_ids.shape[1], scores)
        return torch.full_like(scores, -torch.inf).scatter_(1, token_R[:, None], 0.0)


class AllEnded(StoppingCriteria):
    """Which rows have ended; generation stops when all have."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **kwargs: object) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.batch.ended_R


@contextmanager
def neutral(model: PreTrainedModel) -> Iterator[None]:
    """Within it, nothing of the model's own generation settings acts: no temperature, no penalty, no forced token."""
    own = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own
