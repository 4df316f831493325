"""The effect of each adapter on the policy: a pass forward and back over tokens that the policy draws itself."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from paring.adapters.importance import Seen, watched
from paring.maths.logprobs import CHUNK_LOGITS, token_logprobs
from paring.policy.model import Policy
from paring.policy.packing import PackedBatch


def seen_by(policy: Policy, batch: PackedBatch, *, seed: int) -> Mapping[str, Seen]:
    """The sums of each adapter over the tokens of the batch, by module path.

    At each predicted place a token is drawn from the policy itself, so that the gradients of the log-probs are those of
    its Fisher matrix, whatever the task's own tokens or rewards are. No gradient is left on any parameter."""
    draw = torch.Generator(batch.token_N.device).manual_seed(seed)
    factors = [factor for one in policy.adapters.values() for factor in (one.A_RI, one.B_OR)]
    with policy.whole(), watched(policy.adapters, policy.adapters) as seen, torch.enable_grad():
        hidden_ND = policy.hidden(batch.token_N[None], batch.position_N[None], batch.layout)[0]
        hidden_MD = hidden_ND.index_select(0, batch.predictor_M)
        logp_M = token_logprobs(hidden_MD, policy.head, _drawn(policy, hidden_MD.detach(), draw))
        torch.autograd.grad(logp_M.sum(), factors, allow_unused=True)
    return {path: replace(one, places=len(logp_M)) for path, one in seen.items()}


@torch.no_grad()
def _drawn(policy: Policy, hidden_MD: Tensor, draw: torch.Generator) -> Tensor:
    """A token from the policy at each place, [M]."""
    rows = max(1, CHUNK_LOGITS // len(policy.head.weight_VD))
    chances = (policy.logits(part_CD).softmax(-1) for part_CD in hidden_MD.split(rows))
    return torch.cat([torch.multinomial(chance_CV, 1, generator=draw)[:, 0] for chance_CV in chances])
