"""The probe that admits a model: our passes beside transformers' own, on a few tokens."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from paring.policy import attention
from paring.policy.packing import Shared, pack

TOKENS, PROMPT = 8, 5
"""Tokens of the probe, and tokens of its prompt."""
WINDOW = 4
"""To which sliding windows are narrowed, so that the probe is longer than any."""
NEUTRAL = {
    "final_logit_softcapping": None,
    "attn_logit_softcapping": None,
    "logits_scaling": 1.0,
    "logit_scale": 1.0,
    "lm_head_multiplier": 1.0,
}
"""Settings of a configuration that change logits or attention scores behind our back, and the value that does not."""
CHOICE = "choose a plain decoder (Llama, Qwen2, Qwen3, Mistral, ...)"
Hidden = Callable[..., Tensor]


def check_fits(model: PreTrainedModel, forward: Callable[[], Hidden]) -> None:
    """Give the model our attention, after a probe that it changes nothing and that the head alone makes the logits.
    `forward` makes the pass to be compared. Where the model has sliding windows, a second probe is longer than they.

    Raises ValueError for the few architectures of which that is not true (capped or scaled logits, attention sinks,
    state spaces), and for an adapter on the head: a wrong log-prob must never be trained on."""
    name, head = type(model).__name__, model.get_output_embeddings()
    if not isinstance(head, nn.Linear) or head.bias is not None:
        raise ValueError(
            f"the output embeddings of {name} must be a linear layer without bias or adapter: leave "
            f"lm_head out of adapter.targets, or {CHOICE}"
        )
    for setting, neutral in NEUTRAL.items():
        value = getattr(model.config.get_text_config(), setting, neutral)
        if value not in (None, neutral):
            raise ValueError(f"{name} has {setting} = {value}, which is not computed here: {CHOICE}")
    with torch.no_grad(), refusing(model):
        if model.config._attn_implementation == attention.NAME:
            model.set_attn_implementation("eager")  # a model that had a policy before
        plain_NV = _own_logits(model)
        with narrowed(model) as has_windows:
            narrow_NV = _own_logits(model)
        model.set_attn_implementation(attention.NAME)
        _compare(model, _packed_logits(model, head, forward()), plain_NV)
        if has_windows:
            with narrowed(model):
                _compare(model, _packed_logits(model, head, forward()), narrow_NV)


@contextmanager
def refusing(model: PreTrainedModel) -> Iterator[None]:
    """Within it, whatever a model's own code raises is one ValueError."""
    try:
        yield
    except ValueError:
        raise
    except Exception as error:  # code of any architecture, met with arguments that it may not take
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise ValueError(f"{type(model).__name__} does not run in packed batches ({reason}): {CHOICE}") from error


@contextmanager
def narrowed(model: PreTrainedModel) -> Iterator[bool]:
    """Within it, every sliding window of the model is WINDOW tokens; gives whether it has one."""
    holders = [model.config, model.config.get_text_config(), *model.modules()]
    windows = {id(one): (one, one.sliding_window) for one in holders if isinstance(_window(one), int)}
    try:
        for holder, _ in windows.values():
            holder.sliding_window = WINDOW
        yield bool(windows)
    finally:
        for holder, window in windows.values():
            holder.sliding_window = window


def compare(model: PreTrainedModel, computed: Tensor, expected: Tensor, what: str) -> None:
    """Raises ValueError where values of any shape differ by more than the type of the model explains. LLM.int8 rounds
    otherwise in a pass of other tokens."""
    is_exact = model.dtype == torch.float32 and not getattr(model, "is_loaded_in_8bit", False)
    tolerance = 1e-3 if is_exact else 5e-2
    apart = (computed - expected).abs().max()
    if not apart <= tolerance * expected.abs().max().clamp(min=1):
        raise ValueError(f"{type(model).__name__} {what} (off by {float(apart):.2g} in a probe): {CHOICE}")


def _compare(model: PreTrainedModel, computed_NV: Tensor, expected_NV: Tensor) -> None:
    expected_NV = torch.cat([expected_NV, expected_NV[PROMPT:]])
    what = "does not compute its logits from hidden states and head alone, or attends as packed batches do not"
    compare(model, computed_NV, expected_NV, what)


def _window(holder: object) -> object:
    return getattr(holder, "sliding_window", None)


def probe_tokens(model: PreTrainedModel) -> Tensor:
    """int64 [TOKENS]."""
    return torch.arange(TOKENS, device=model.device) % model.config.get_text_config().vocab_size


def _own_logits(model: PreTrainedModel) -> Tensor:
    """transformers' logits of the probe: fp32 [TOKENS, V]."""
    return model(input_ids=probe_tokens(model)[None], use_cache=False).logits[0].float()


def _packed_logits(model: PreTrainedModel, head: nn.Linear, hidden: Hidden) -> Tensor:
    """Ours, of the tokens as a prompt and, twice, a completion whose inputs are the others: an attention that ignores
    the layout lets the second see the first. fp32 [2 TOKENS - PROMPT, V]."""
    tokens = probe_tokens(model).tolist()
    completion = [*tokens[PROMPT:], 0]
    batch = pack([Shared(tokens[:PROMPT], [completion, completion])], model.device)
    return (hidden(batch.token_N[None], batch.position_N[None], batch.layout)[0] @ head.weight.T).float()
