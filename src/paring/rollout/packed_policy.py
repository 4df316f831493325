"""The policy as a rollout runs it: folded and packed where its layers are written out, as it stands elsewhere."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from paring.adapters.dora import DoraLinear
from paring.maths.products import PackedLinear
from paring.policy.decoder import Decoder
from paring.policy.model import Forward, Policy
from paring.policy.recording import Recording
from paring.rollout.folded import FoldedLayer
from paring.rollout.steps import Steps


@dataclass(frozen=True)
class Sampler:
    """The functions that sampling needs: hidden states, and fp32 logits [B, V] of hidden states [B, D]. `recording`
    keeps the pass where it can be replayed."""

    hidden: Forward
    logits: Callable[[Tensor], Tensor]
    recording: Recording | None = None


@torch.no_grad()
def sampler(policy: Policy, recording: Recording | None = None, *, tokens: int = 0) -> Sampler:
    """The policy with its weights folded and packed as they are now, or as it stands where it is not written out or
    its weights are not dense on a CPU. `recording` gets its forward pass over at most so many tokens."""
    decoder = policy.hidden
    # The exact type: linear modules of quantised models derive from nn.Linear.
    is_dense = all(type(module) is nn.Linear for module in policy.model.modules() if isinstance(module, nn.Linear))
    # Rows that are measured cannot stand beside weights in half precision: they are folded, or modules.
    measured = policy.model.dtype != torch.float32 and any(isinstance(m, DoraLinear) for m in policy.adapters.values())
    if not isinstance(decoder, Decoder) or not is_dense or policy.device.type != "cpu" or measured:
        return Sampler(policy.hidden, policy.logits)
    head = PackedLinear(policy.head.weight_VD, policy.head.bias_V)
    layers = [FoldedLayer(layer, number, recording) for number, layer in enumerate(decoder.layers)]
    if recording is not None:
        recording.begin(len(layers), layers[0].widths, tokens)
    folded = Steps(replace(decoder, layers=layers), layers)
    return Sampler(folded, lambda hidden: policy.head.bounded(head(hidden)), recording)
