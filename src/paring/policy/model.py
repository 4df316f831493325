"""The policy: a frozen base, its adapters, its tokenizer; hidden states, logits and log-probs."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from paring.adapters.attach import switched_off
from paring.adapters.lowrank import LowRankLinear
from paring.maths.logprobs import token_logprobs
from paring.policy.attention import TokenLayout
from paring.policy.decoder import WRITTEN_OUT, Decoder, decoder, is_written_out
from paring.policy.packing import PackedBatch
from paring.policy.probe import check_fits
from paring.policy.replay import replayed

Forward = Callable[..., Tensor]
"""From tokens [B, N] and their positions to last hidden states [B, N, D], attending as the layout says."""


@dataclass(frozen=True)
class Policy:
    """Everything that answers: `model` with `adapters` (by module path) attached in place."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    adapters: dict[str, LowRankLinear]
    activation_bytes: float = math.inf
    """Bound of what a forward pass keeps for its backward; what does not fit is computed again (see Decoder)."""
    hidden: Forward = field(init=False, repr=False, compare=False)
    """The model's forward pass up to its last hidden states, with a gradient."""

    def __post_init__(self) -> None:
        check_fits(self.model, partial(forward, self.model))
        object.__setattr__(self, "hidden", forward(self.model, activation_bytes=self.activation_bytes))

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def ends(self) -> frozenset[int]:
        """Every token that ends an answer: the tokenizer's and all of the generation config's."""
        config = self.model.generation_config
        listed = None if config is None else config.eos_token_id
        ends = [*(listed if isinstance(listed, list) else [listed]), self.tokenizer.eos_token_id]
        return frozenset(token for token in ends if token is not None)

    @property
    def context(self) -> int:
        """The most tokens that a prompt and its answer may have together."""
        return self.model.config.get_text_config().max_position_embeddings

    @property
    def head(self) -> nn.Linear:
        """The output embeddings [V, D], which `check_fits` has found to be a plain linear layer."""
        head = self.model.get_output_embeddings()
        assert isinstance(head, nn.Linear)
        return head

    def logits(self, hidden_BD: Tensor) -> Tensor:
        """[B, V] in fp32, for the few positions where a token is drawn."""
        return self.head(hidden_BD).float()

    def log_probs(
        self, batch: PackedBatch, *, temperature: float, trunk: Tensor | None = None, replay: bool = False
    ) -> Tensor:
        """log pi(o_bt | prompt, o_b<t) at the sampling temperature: [B, T], 0 where there is no token.
        `trunk` is what `trunk` gave for this batch. `replay`: the policy is still the one that sampled and its adapters
        have no dropout, so that the forward pass is taken from the batch's recording, where it has one."""
        given = (batch.token_N[None], batch.position_N[None], batch.layout)
        if replay and batch.known is not None:
            assert isinstance(self.hidden, Decoder), "only the written-out decoder is recorded"
            hidden_ND = replayed(self.hidden, *given, batch.known)[0]
        else:
            hidden_ND = self.hidden(*given, **({} if trunk is None else {"trunk": trunk}))[0]
        logp_M = token_logprobs(
            hidden_ND.index_select(0, batch.predictor_M), self.head.weight, batch.target_M, temperature=temperature
        )
        return batch.spread(logp_M)

    def trunk(self, batch: PackedBatch) -> Tensor | None:
        """Hidden states below the first adapter, which no update and no reference changes; None where there is nothing
        to save."""
        given = (batch.token_N[None], batch.position_N[None], batch.layout)
        return self.hidden.below(*given) if isinstance(self.hidden, Decoder) else None

    @property
    def is_its_reference(self) -> bool:
        """Whether no adapter changes anything yet, so that the reference's log-probs are the policy's own."""
        return not any(adapter.B_OR.any() for adapter in self.adapters.values())

    def reference(self) -> AbstractContextManager[None]:
        """Within it, the policy is its reference: the base with the adapters switched off."""
        return switched_off(self.model)

    @contextmanager
    def training(self) -> Iterator[None]:
        """Within it, the adapters' dropout acts. The base stays in eval mode: it is never trained."""
        for adapter in self.adapters.values():
            adapter.train()
        try:
            yield
        finally:
            self.model.eval()


def forward(model: PreTrainedModel, *, activation_bytes: float = math.inf) -> Forward:
    """Our own forward pass where the architecture is written out, transformers' elsewhere.

    Raises ValueError where transformers' own should keep less for its backward than it does."""
    if is_written_out(model):
        return decoder(model, activation_bytes=activation_bytes)
    if activation_bytes < math.inf:
        raise ValueError(
            f"optimiser.activations_gb bounds the memory of {', '.join(sorted(WRITTEN_OUT))} only, and this is a "
            f"{type(model).__name__}: set it to 0 and lower optimiser.tokens_per_pass instead"
        )
    return partial(by_transformers, model)


def by_transformers(model: PreTrainedModel, token_BN: Tensor, position_BN: Tensor, layout: TokenLayout) -> Tensor:
    """The plain forward pass; its attention asks the layout by way of paring.policy.attention."""
    out = model.base_model(input_ids=token_BN, position_ids=position_BN, use_cache=False, layout=layout)
    return out.last_hidden_state
