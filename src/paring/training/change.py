"""What the policy predicts before and after a rank event, so that its change can be told."""

import torch
from torch import Tensor
from torch.nn import functional

from paring.policy.model import Policy
from paring.policy.packing import PackedBatch

PROBE_TOKENS = 256
"""Tokens on which the change of the policy is measured, at most."""


@torch.no_grad()
def predictions(policy: Policy, probe: PackedBatch) -> Tensor:
    """log pi of every token of the vocabulary, at the first predicted positions: [M, V]."""
    hidden_ND = policy.hidden(probe.token_N[None], probe.position_N[None], probe.layout)[0]
    return functional.log_softmax(policy.logits(hidden_ND[probe.predictor_M[:PROBE_TOKENS]]), dim=-1)
