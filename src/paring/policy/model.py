"""The policy: a frozen base, its adapters, its tokenizer; hidden states, logits and log-probs."""

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from paring.adapters.attach import switched_off
from paring.adapters.lowrank import LowRankLinear
from paring.maths.logprobs import token_logprobs
from paring.policy import attention
from paring.policy.attention import Layout
from paring.policy.decoder import decoder, is_written_out
from paring.policy.loading import end_tokens
from paring.policy.packing import PackedBatch, Shared, pack

Forward = Callable[[Tensor, Tensor, Layout], Tensor]
"""From tokens [B, N] and their positions to last hidden states [B, N, D], attending as the layout says."""


@dataclass(frozen=True)
class Policy:
    """Everything that answers: `model` with `adapters` (by module path) attached in place."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    adapters: dict[str, LowRankLinear]

    def __post_init__(self) -> None:
        check_fits(self.model)

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def ends(self) -> frozenset[int]:
        return end_tokens(self.model, self.tokenizer)

    @property
    def context(self) -> int:
        """The most tokens that a prompt and its answer may have together."""
        return self.model.config.get_text_config().max_position_embeddings

    @cached_property
    def hidden(self) -> Forward:
        """The model's forward pass up to its last hidden states, with a gradient."""
        return forward(self.model)

    def logits(self, hidden_BD: Tensor) -> Tensor:
        """[B, V] in fp32, for the few positions where a token is drawn."""
        return self.model.get_output_embeddings()(hidden_BD).float()

    def log_probs(self, batch: PackedBatch, *, temperature: float) -> Tensor:
        """log pi(o_bt | prompt, o_b<t) at the sampling temperature: [B, T], 0 where there is no token."""
        hidden_ND = self.hidden(batch.token_N[None], batch.position_N[None], batch.layout)[0]
        head_VD = self.model.get_output_embeddings().weight
        logp_M = token_logprobs(
            hidden_ND.index_select(0, batch.predictor_M), head_VD, batch.target_M, temperature=temperature
        )
        return batch.spread(logp_M)

    def reference(self) -> AbstractContextManager[None]:
        """Within it, the policy is its reference: the base with the adapters switched off."""
        return switched_off(self.model)

    @contextmanager
    def training(self):
        """Within it, the adapters' dropout acts. The base stays in eval mode: it is never trained."""
        for adapter in self.adapters.values():
            adapter.train()
        try:
            yield
        finally:
            self.model.eval()


def check_fits(model: PreTrainedModel) -> None:
    """Give the model our attention, after a probe that it changes nothing and that the head alone makes the logits.

    Raises ValueError for the few architectures of which that is not true (capped or biased logits, attention sinks,
    state spaces), and for an adapter on the head: a wrong log-prob must never be trained on."""
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Linear) or head.bias is not None:
        raise ValueError(
            f"the output embeddings of {type(model).__name__} must be a linear layer without bias or adapter: leave "
            "lm_head out of adapter.targets, or choose a plain decoder (Llama, Qwen2, Qwen3, Mistral, ...)"
        )
    probe_N = torch.arange(8, device=model.device) % model.config.get_text_config().vocab_size
    with torch.no_grad():
        expected_NV = model(input_ids=probe_N[None], use_cache=False).logits[0].float()
        model.set_attn_implementation(attention.NAME)
        # The 8 tokens as a prompt of 5 and, twice, a completion whose inputs are the other 3: who does not ask the
        # layout lets the second see the first.
        completion = [*probe_N[5:].tolist(), 0]
        batch = pack([Shared(probe_N[:5].tolist(), [completion, completion])], model.device)
        expected_NV = torch.cat([expected_NV, expected_NV[5:]])
        hidden_ND = forward(model)(batch.token_N[None], batch.position_N[None], batch.layout)[0]
        found_NV = (hidden_ND @ head.weight.T).float()
    tolerance = 1e-3 if model.dtype == torch.float32 else 5e-2
    if (found_NV - expected_NV).abs().max() > tolerance * expected_NV.abs().max().clamp(min=1):
        raise ValueError(
            f"{type(model).__name__} does not compute its logits from hidden states and head alone, or attends in a "
            "way that packed batches do not: choose a plain decoder (Llama, Qwen2, Qwen3, Mistral, ...)"
        )


def forward(model: PreTrainedModel) -> Forward:
    """Our own forward pass where the architecture is written out, transformers' elsewhere."""
    return decoder(model) if is_written_out(model) else partial(by_transformers, model)


def by_transformers(model: PreTrainedModel, token_BN: Tensor, position_BN: Tensor, layout: Layout) -> Tensor:
    """The plain forward pass; its attention asks the layout by way of paring.policy.attention."""
    out = model.base_model(input_ids=token_BN, position_ids=position_BN, use_cache=False, layout=layout)
    return out.last_hidden_state
