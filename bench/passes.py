"""Both sides of a training pass: log-probs of all completion tokens and the policy gradient, padded and packed."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from paring.policy.head import linear_head
from paring.policy.model import Policy
from paring.policy.packing import Shared, pack


def packed_pass(policy: Policy, groups: Sequence[Shared], advantage_B: Tensor) -> Tensor:
    """Ours: each prompt once. Log-probs [M], row after row."""
    policy.model.zero_grad()
    batch = pack(groups, policy.device)
    logp_BT = policy.log_probs(batch, temperature=1.0)
    logp_M = logp_BT[batch.mask_BT.bool()]
    _follow(logp_M, advantage_B, batch.mask_BT)
    return logp_M.detach()


def padded_pass(model: PreTrainedModel, groups: Sequence[Shared], advantage_B: Tensor) -> Tensor:
    """The usual way: prompts repeated, padded on the left; completions on the right; the head on real tokens only."""
    model.zero_grad()
    prompts = [list(group.prompt) for group in groups for _ in group.completions]
    completions = [list(completion) for group in groups for completion in group.completions]
    prompt_BK, prompt_mask_BK = _padded(prompts, model.device, on_the_left=True)
    token_BT, mask_BT = _padded(completions, model.device, on_the_left=False)
    hidden_BND = model.base_model(
        input_ids=torch.cat([prompt_BK, token_BT], dim=1),
        attention_mask=torch.cat([prompt_mask_BK, mask_BT], dim=1),
        use_cache=False,
    ).last_hidden_state
    hidden_MD = hidden_BND[:, prompt_BK.shape[1] - 1 : -1][mask_BT.bool()]
    logit_MV = linear_head(model)(hidden_MD)
    logp_M = logit_MV.float().log_softmax(-1).gather(-1, token_BT[mask_BT.bool()][:, None])[:, 0]
    _follow(logp_M, advantage_B, mask_BT)
    return logp_M.detach()


def _follow(logp_M: Tensor, advantage_B: Tensor, mask_BT: Tensor) -> None:
    """The gradient of sum_bt A_b log pi_bt, over the tokens."""
    advantage_M = advantage_B.to(mask_BT.device)[:, None].expand_as(mask_BT)[mask_BT.bool()]
    (-(advantage_M * logp_M).sum() / len(logp_M)).backward()


def _padded(rows: Sequence[list[int]], device: torch.device, *, on_the_left: bool) -> tuple[Tensor, Tensor]:
    """Tokens and mask, [B, longest]."""
    longest = max(map(len, rows))
    filled = [[0] * (longest - len(row)) for row in rows]
    pairs = list(zip(filled, rows, strict=True))
    tokens = [empty + row if on_the_left else row + empty for empty, row in pairs]
    masks = [empty + [1] * len(row) if on_the_left else [1] * len(row) + empty for empty, row in pairs]
    return torch.tensor(tokens, device=device), torch.tensor(masks, device=device)
