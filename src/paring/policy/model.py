"""The policy: a frozen base, its adapters, its tokenizer; hidden states, logits and log-probs."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor
from transformers import GenerationMixin, PreTrainedModel, PreTrainedTokenizerBase

from paring.adapters.attach import exchanged, state, switched_off
from paring.adapters.lowrank import LowRankLinear
from paring.maths.logprobs import Head, TeacherStates, token_divergences, token_entropies, token_logprobs
from paring.policy.attention import TokenLayout, use_own
from paring.policy.context import check_switch, context_of
from paring.policy.decoder import WRITTEN_OUT, Decoder, decoder, is_written_out
from paring.policy.head import head_of, into_head
from paring.policy.packing import PackedBatch, Shared, packed_tokens
from paring.policy.probe import check_gradient, check_hidden, own_logits, probe_tokens, refusing, why_not_packed
from paring.policy.replay import replayed
from paring.policy.sharding import is_sharded, whole_ends
from paring.policy.unpacked import Unpacked, least_fill, unpacked_tokens

Forward = Callable[..., Tensor]
"""From tokens [1, N] and their positions to what the head receives [1, N, D], attending as the layout says."""


@dataclass(frozen=True)
class Policy:
    """Everything that answers: `model` with `adapters` (by module path) attached in place."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    adapters: dict[str, LowRankLinear]
    activation_bytes: float = math.inf
    """Bound of what a forward pass keeps for its backward; what does not fit is computed again (see Decoder)."""
    unpacked: str | None = None
    """Why passes are not packed, in a short sentence; None: they are. Found by a probe where it is not given."""
    recomputes: bool = False
    """Whether each token is sampled by a pass over its whole sequence, without a cache."""
    start: Mapping[str, Tensor] | None = None
    """The tensors of the adapters as a run began with them, where its reference has them; None: the base alone."""
    hidden: Forward = field(init=False, repr=False, compare=False)
    """The model's forward pass up to its head, with a gradient."""
    head: Head = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        with self.whole():
            self._probe()

    def _probe(self) -> None:
        model = self.model
        packed = partial(forward, model, activation_bytes=self.activation_bytes)
        hidden = packed()
        with refusing(model), torch.no_grad():
            use_own(model)
            head = head_of(model, probe_tokens(model)[None])
        reason = self.unpacked or why_not_packed(model, head, packed)
        if reason is not None:
            check_bound(model, self.activation_bytes)
            hidden = Unpacked(model)
            if not isinstance(model, GenerationMixin):
                raise ValueError(f"{type(model).__name__} cannot be run: transformers cannot generate with it")
            with refusing(model), torch.no_grad():
                use_own(model)
                check_hidden(model, head, hidden, own_logits(model))
                if self.adapters:
                    check_gradient(model, hidden)
        if isinstance(hidden, Decoder):
            head = head.in_type(hidden.dtype)
        for name, value in {"unpacked": reason, "hidden": hidden, "head": head}.items():
            object.__setattr__(self, name, value)

    def whole(self) -> AbstractContextManager[None]:
        """Within it a pass and its log-probs can be made where the base is divided among processes: all of them come
        here, in the same order. Elsewhere it does nothing."""
        return whole_ends(self.model)

    @property
    def is_sharded(self) -> bool:
        """Whether the base is divided among processes, which then make every pass together."""
        return is_sharded(self.model)

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
    def pace(self) -> str:
        """How its passes run, in words."""
        if self.unpacked is None:
            return "passes are packed"
        cache = "; sampling computes the whole sequence for each token" if self.recomputes else ""
        return f"passes are not packed, which is slower and changes no result ({self.unpacked}){cache}"

    def tokens_held(self, shared: Sequence[Shared]) -> int:
        """Tokens that a pass over these prompts and completions holds."""
        return packed_tokens(shared) if self.unpacked is None else unpacked_tokens(shared, least_fill(self.model))

    @property
    def context(self) -> int:
        """The most tokens that a prompt and its answer may have together."""
        return context_of(self.model.config)

    def logits(self, hidden_BD: Tensor) -> Tensor:
        """[B, V] in fp32, for the few positions where a token is drawn."""
        with self.whole():
            return self.head(hidden_BD)

    def log_probs(
        self, batch: PackedBatch, *, temperature: float, trunk: Tensor | None = None, replay: bool = False
    ) -> Tensor:
        """log pi(o_bt | prompt, o_b<t) at the sampling temperature: [B, T], 0 where there is no token.
        `trunk` is what `trunk` gave for this batch. `replay`: the policy is still the one that sampled and its adapters
        have no dropout, so that the forward pass is taken from the batch's recording, where it has one."""
        with self.whole():
            hidden_MD = self._predicting(batch, trunk, replay)
            return batch.spread(token_logprobs(hidden_MD, self.head, batch.target_M, temperature=temperature))

    def entropies(
        self, batch: PackedBatch, *, temperature: float, trunk: Tensor | None = None, replay: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Log-probs as `log_probs` gives them, and the exact entropy over the vocabulary at each token: nats [B, T]."""
        with self.whole():
            hidden_MD = self._predicting(batch, trunk, replay)
            logp_M, entropy_M = token_entropies(hidden_MD, self.head, batch.target_M, temperature=temperature)
        return batch.spread(logp_M), batch.spread(entropy_M)

    def divergences(
        self,
        batch: PackedBatch,
        teacher: TeacherStates,
        *,
        temperature: float,
        trunk: Tensor | None = None,
        replay: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Log-probs as `log_probs` gives them, and the exact reverse KL divergence to the teacher: nats [B, T]."""
        with self.whole():
            hidden_MD = self._predicting(batch, trunk, replay)
            logp_M, apart_M = token_divergences(hidden_MD, self.head, batch.target_M, teacher, temperature=temperature)
        return batch.spread(logp_M), batch.spread(apart_M)

    def states(self, batch: PackedBatch) -> TeacherStates:
        """What is needed of this policy for divergences from it: its hidden states of the batch, and its head."""
        with self.whole():
            return TeacherStates(self._predicting(batch, None, replay=False), self.head)

    def _predicting(self, batch: PackedBatch, trunk: Tensor | None, replay: bool) -> Tensor:
        """Hidden states of the tokens that predict: [M, D]. The arguments are those of `log_probs`."""
        check_switch(self.model.config, batch)
        given = (batch.token_N[None], batch.position_N[None], batch.layout)
        if replay and batch.known is not None:
            assert isinstance(self.hidden, Decoder), "only the written-out decoder is recorded"
            hidden_ND = replayed(self.hidden, *given, batch.known)[0]
        else:
            hidden_ND = self.hidden(*given, **({} if trunk is None else {"trunk": trunk}))[0]
        return hidden_ND.index_select(0, batch.predictor_M)

    def trunk(self, batch: PackedBatch) -> Tensor | None:
        """Hidden states below the first adapter, which no update and no reference changes; None where there is nothing
        to save."""
        given = (batch.token_N[None], batch.position_N[None], batch.layout)
        with self.whole():
            return self.hidden.below(*given) if isinstance(self.hidden, Decoder) else None

    @property
    def is_its_reference(self) -> bool:
        """Whether the adapters are still those of the reference, so that its log-probs are the policy's own."""
        if self.start is None:
            return all(adapter.changes_nothing for adapter in self.adapters.values())
        own = state(self.adapters)
        return all(torch.equal(value, own[name]) for name, value in self.start.items())

    def reference(self) -> AbstractContextManager[None]:
        """Within it, the policy is its reference: the base with the adapters switched off, or as they were at the
        start, whatever ranks they have come to."""
        return switched_off(self.model) if self.start is None else exchanged(self.adapters, self.start)

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
    """The packed pass: our own where the architecture is written out, transformers' elsewhere.

    Raises ValueError where transformers' own should keep less for its backward than it does."""
    if is_written_out(model):
        return decoder(model, activation_bytes=activation_bytes)
    check_bound(model, activation_bytes)
    return partial(by_transformers, model)


def check_bound(model: PreTrainedModel, activation_bytes: float) -> None:
    """Raises ValueError where a pass of transformers' own should keep less for its backward than it does."""
    if activation_bytes < math.inf:
        raise ValueError(
            f"optimiser.activations_gb bounds the memory of {', '.join(sorted(WRITTEN_OUT))} only, and this is a "
            f"{type(model).__name__}: set it to 0 and lower optimiser.tokens_per_pass instead"
        )


def by_transformers(model: PreTrainedModel, token_BN: Tensor, position_BN: Tensor, layout: TokenLayout) -> Tensor:
    """The plain forward pass; its attention asks the layout by way of paring.policy.attention."""
    return into_head(model, input_ids=token_BN, position_ids=position_BN, layout=layout)
