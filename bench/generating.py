"""Both sides of a rollout: transformers' generate, and our engine. Each gives seconds and real completion tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from paring.policy.chat import prompt_tokens
from paring.policy.model import Policy
from paring.rollout.engine import Sampling
from paring.rollout.local import LocalEngine
from paring.runtime.gpu import stopwatch
from paring.types import Key, Problem

CACHES = {"dynamic": {}, "static": {"cache_implementation": "static", "disable_compile": True}}


@dataclass(frozen=True)
class Rolled:
    """What a rollout took. `tokens` are up to and including the end token."""

    seconds: float
    tokens: int

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds


def sampled(policy: Policy, problems: Sequence[Problem], group: int, new_tokens: int) -> Rolled:
    """By our engine, folding and prefill included."""
    engine = LocalEngine(policy, rows=len(problems) * group)
    watch = stopwatch(policy.device)
    groups = engine.sample(problems, group, Sampling(max_new_tokens=new_tokens), Key(0, 1))
    spent = watch.elapsed()
    return Rolled(spent, sum(len(completion.tokens) for group in groups for completion in group.completions))


@torch.no_grad()
def generated(
    model: PreTrainedModel, policy: Policy, problems: Sequence[Problem], group: int, new_tokens: int, cache: str
) -> Rolled:
    """By transformers' generate, as TRL calls it: every prompt repeated for its group. `policy` gives the tokens."""
    ends = sorted(policy.ends)
    watch = stopwatch(policy.device)
    prompts = [prompt_tokens(policy.tokenizer, problem.messages) for problem in problems]
    token_BN, mask_BN = (part_BN.to(policy.device) for part_BN in _left_padded(prompts, group))
    out_BN = model.generate(  # pyright: ignore[reportCallIssue]  of GenerationMixin
        input_ids=token_BN,
        attention_mask=mask_BN,
        max_new_tokens=new_tokens,
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        eos_token_id=ends,
        pad_token_id=ends[0],
        **CACHES[cache],
    )
    spent = watch.elapsed()
    new_BT = out_BN[:, token_BN.shape[1] :]
    ended_BT = torch.isin(new_BT, torch.tensor(ends, device=new_BT.device))
    before_BT = ended_BT.cumsum(-1) - ended_BT.long()
    return Rolled(spent, int((before_BT == 0).sum()))


def _left_padded(prompts: Sequence[Sequence[int]], group: int) -> tuple[Tensor, Tensor]:
    """Tokens and mask [B, N], each prompt `group` times."""
    longest = max(map(len, prompts))
    token_PN = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
    mask_PN = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    return token_PN.repeat_interleave(group, dim=0), mask_PN.repeat_interleave(group, dim=0)
