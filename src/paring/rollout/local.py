"""The engine that runs here: prompts prefilled once a group, rows decoded together, ended rows leave."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from paring.policy.chat import answer_text, prompt_tokens
from paring.policy.model import Policy
from paring.rollout.cache import Prompts, Rows
from paring.rollout.engine import Key, NotFinite, Sampling
from paring.rollout.noise import draw, uniforms
from paring.types import Completion, Group, Problem

Prompted = Sequence[tuple[int, ...]]
"""Prompts as token ids."""

LEAST_LIVE = 0.875
"""Ended rows are dropped, which copies the cache, once less than this share of the rows is live."""


@dataclass(frozen=True)
class LocalEngine:
    """Samples from the policy in this process. At most `rows` completions are decoded at once, or one whole group."""

    policy: Policy
    rows: int = 512

    @torch.no_grad()
    def sample(self, problems: Sequence[Problem], group_size: int, sampling: Sampling, key: Key) -> list[Group]:
        """See Engine. Equal weights give equal tokens whatever stands beside them in the batch, up to rounding in
        the matrix library, which can differ with the number of rows and then flip a token at a near tie."""
        prompts = [prompt_tokens(self.policy.tokenizer, problem.messages) for problem in problems]
        for problem, prompt in zip(problems, prompts, strict=True):
            check_length(problem, len(prompt), sampling.max_new_tokens, self.policy.context)
        per_wave = max(1, self.rows // group_size)
        groups: list[Group] = []
        for start in range(0, len(problems), per_wave):
            wave = slice(start, start + per_wave)
            groups += self._wave(problems[wave], prompts[wave], group_size, sampling, key)
        return groups

    def _wave(
        self, problems: Sequence[Problem], prompts: Prompted, group_size: int, sampling: Sampling, key: Key
    ) -> list[Group]:
        noise_BT = np.stack(
            [
                uniforms(key, problem.id, member, sampling.max_new_tokens)
                for problem in problems
                for member in range(group_size)
            ]
        )
        token_BT, logp_BT, length_B = self._decode(prompts, group_size, sampling, noise_BT)
        if not logp_BT.isfinite().all():
            raise NotFinite("the model's probabilities are not finite")
        completions = [
            self._completion(tokens[:length], logps[:length])
            for tokens, logps, length in zip(token_BT.tolist(), logp_BT.tolist(), length_B.tolist(), strict=True)
        ]
        return [
            Group(problem, prompt, tuple(completions[index * group_size : (index + 1) * group_size]))
            for index, (problem, prompt) in enumerate(zip(problems, prompts, strict=True))
        ]

    def _decode(self, prompts: Prompted, group_size: int, sampling: Sampling, noise_BT: np.ndarray):
        """Tokens [B, T], their log-probs [B, T] and the lengths [B], B = prompts x group_size."""
        device = self.policy.device
        uniform_BT = torch.from_numpy(noise_BT).float().to(device)
        token_BT = torch.zeros(uniform_BT.shape, dtype=torch.int64, device=device)
        logp_BT = torch.zeros_like(uniform_BT)
        length_B = torch.full(uniform_BT.shape[:1], sampling.max_new_tokens, device=device)
        end_E = torch.tensor(sorted(self.policy.ends), device=device)
        live_B = torch.arange(len(uniform_BT), device=device)
        cache, logit_BV = self._prefill(prompts, group_size)
        for position in range(sampling.max_new_tokens):
            token_B, logp_B = draw(logit_BV, uniform_BT[live_B, position], sampling)
            token_BT[live_B, position], logp_BT[live_B, position] = token_B, logp_B
            ended_B = torch.isin(token_B, end_E)
            length_B[live_B[ended_B]] = length_B[live_B[ended_B]].clamp(max=position + 1)
            going_B = (length_B[live_B] > position + 1).nonzero()[:, 0]
            if len(going_B) == 0 or position + 1 == sampling.max_new_tokens:
                break
            if len(going_B) < LEAST_LIVE * len(live_B):
                cache.keep(going_B)
                live_B, token_B = live_B[going_B], token_B[going_B]
            logit_BV = self._step(token_B, cache)
        return token_BT, logp_BT, length_B

    def _prefill(self, prompts: Prompted, group_size: int) -> tuple[Rows, Tensor]:
        """Each prompt once through the model; the logits after it serve all of its group: [B, V]."""
        layout = Prompts([len(prompt) for prompt in prompts], self.policy.device)
        token_N = torch.tensor([token for prompt in prompts for token in prompt], device=self.policy.device)
        position_N = torch.cat([torch.arange(len(prompt)) for prompt in prompts]).to(self.policy.device)
        hidden_1ND = self.policy.hidden(token_N[None], position_N[None], layout)
        logit_PV = self.policy.logits(hidden_1ND[0, layout.last_P])
        return Rows(layout, group_size), logit_PV.repeat_interleave(group_size, dim=0)

    def _step(self, token_B: Tensor, cache: Rows) -> Tensor:
        hidden_B1D = self.policy.hidden(token_B[:, None], cache.position_B1, cache)
        cache.advance()
        return self.policy.logits(hidden_B1D[:, 0])

    def _completion(self, tokens: list[int], logprobs: list[float]) -> Completion:
        ended = tokens[-1] in self.policy.ends
        text = answer_text(self.policy.tokenizer, tokens[:-1] if ended else tokens)
        return Completion(tuple(tokens), tuple(logprobs), text, ended)


def check_length(problem: Problem, prompt: int, max_new_tokens: int, context: int) -> None:
    """Raises ValueError where prompt and answer do not fit the context, all in tokens, or the prompt is empty."""
    if prompt == 0:
        raise ValueError(f"problem {problem.id}: its prompt has no tokens, and an answer must follow something")
    if prompt + max_new_tokens > context:
        raise ValueError(
            f"problem {problem.id}: its prompt of {prompt} tokens and rollout.max_new_tokens = {max_new_tokens} exceed "
            f"the model's context of {context} tokens: lower max_new_tokens or leave the problem out"
        )
