"""The probe that finds how a model is run: our passes beside transformers' own, on a few tokens."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils import logging

from paring.maths.logprobs import Head
from paring.policy.attention import NAME, own, use_own, use_packed
from paring.policy.packing import Shared, pack
from paring.policy.rounding import rounding
from paring.runtime.text import one_line

TOKENS, PROMPT = 8, 5
"""Tokens of the probe, and tokens of its prompt."""
WINDOW = 4
"""To which sliding windows are narrowed, so that the probe is longer than any."""
SURE, EXACT, ROUNDED = 1e-5, 2e-4, 0.15
"""How far fp32 may be off without a question, and at all, as shares of the largest value; and half precision, both as
root mean squares. bf16 was off by 0.03 to 0.10 in logits of SmolLM2-135M, on either side."""
SLACK, WIDE = 4, 64
"""How far half precision may be off at a token, as a multiple of what rounding does (policy/rounding.py). In tiny
models of 40 families and in the embedded ones what was right in fp32 was off by 1.7 at most; what was wrong, by 6.4 at
least, but for one that ROUNDED shows. And fp32 between SURE and EXACT, where long sums in another order round more."""
PACKED_LAYERS = frozenset({"full_attention", "sliding_attention"})
"""The kinds of layer, in a configuration's `layer_types`, that packed attention serves."""
LONGEST_REASON = 120
"""Characters of an error of a model's own code."""
Hidden = Callable[..., Tensor]


class Misfit(ValueError):
    """A model does not compute in a way of ours what transformers computes; the text is the reason, in one sentence."""


def why_not_packed(model: PreTrainedModel, head: Head, packed: Callable[[], Hidden]) -> str | None:
    """Give the model our attention, and say in a short sentence why its passes cannot be packed; None: they can.
    `packed` makes the packed pass. Where the model has sliding windows, a second probe is longer than they."""
    if reason := reason_of_configuration(model):
        return reason
    try:
        with torch.no_grad(), reasons():
            use_own(model)
            plain_NV = own_logits(model)
            with narrowed(model) as has_windows:
                narrow_NV = own_logits(model)
            attend_packed(model)
            check_hidden(model, head, packed(), plain_NV)
            if has_windows:
                with narrowed(model):
                    check_hidden(model, head, packed(), narrow_NV)
    except Misfit as misfit:
        return str(misfit)
    return None


def reason_of_configuration(model: PreTrainedModel) -> str | None:
    """What a probe of a few tokens does not show."""
    config = model.config.get_text_config()
    kinds = sorted({str(kind) for kind in getattr(config, "layer_types", None) or ()} - PACKED_LAYERS)
    if kinds:
        return f"it has layers of {', '.join(kind.replace('_', ' ') for kind in kinds)}"
    if getattr(config, "attention_chunk_size", None) is not None:
        return "its attention is cut into chunks"
    return None


def attend_packed(model: PreTrainedModel) -> None:
    """Raises Misfit where the attention of the model cannot be exchanged."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # transformers would warn of what is no fault
    try:
        use_packed(model)
    finally:
        logging.set_verbosity(verbosity)
    if model.config._attn_implementation != NAME:
        raise Misfit("its attention is its own and cannot be exchanged")


@contextmanager
def reasons() -> Iterator[None]:
    """Within it, whatever a model's own code raises is one Misfit."""
    try:
        yield
    except Misfit:
        raise
    except Exception as error:  # code of any architecture, met with arguments that it may not take
        reason = one_line(str(error), LONGEST_REASON)
        if not isinstance(error, ValueError) or not reason:
            reason = f"its code raises {type(error).__name__}" + (f" ({reason})" if reason else "")
        raise Misfit(reason) from error


@contextmanager
def refusing(model: PreTrainedModel) -> Iterator[None]:
    """Within it, whatever is wrong with a model, or raised by its code, is one ValueError with its name."""
    try:
        with reasons():
            yield
    except Misfit as misfit:
        raise ValueError(f"{type(model).__name__} cannot be run: {misfit}") from misfit


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
    """Raises Misfit where values [..., V] differ by more than the type of the model explains: any of them in fp32; in
    half precision, where single values are far off even in transformers' own pass, those of a token. LLM.int8 rounds
    otherwise in a pass of other tokens."""
    apart, scale = (computed - expected).abs(), expected.abs()
    by_rows = getattr(model, "is_loaded_in_8bit", False)
    if model.dtype == torch.float32 and not by_rows:
        share = float(apart.max() / scale.max().clamp(min=1))
        fits = share <= SURE or (share <= EXACT and _is_rounding(model, apart, WIDE))
    else:
        fits = bool(apart.square().mean() <= (ROUNDED * scale).square().mean())
        fits = fits and (by_rows or _is_rounding(model, apart, SLACK))
    if not fits:
        raise Misfit(f"{what} (off by {float(apart.max()):.2g} in a probe)")


def _is_rounding(model: PreTrainedModel, apart: Tensor, slack: float) -> bool:
    """Whether no token is further off than `slack` times what rounding explains; apart: [..., V]."""
    with own(model):
        bound = slack * rounding(model, lambda: own_logits(model), model.dtype)
    return bool(apart.square().mean(-1).sqrt().max() <= bound)


def check_hidden(model: PreTrainedModel, head: Head, hidden: Hidden, expected_NV: Tensor) -> None:
    """Compare logits of the probe's tokens as a prompt and two completions, one of which ends early: an attention that
    ignores the layout lets the second see the first, and one that looks ahead sees what is padded. Raises Misfit."""
    tokens = probe_tokens(model).tolist()
    completions = [[*tokens[PROMPT:], 0], [*tokens[PROMPT:-1], 0]]
    batch = pack([Shared(tokens[:PROMPT], completions)], model.device)
    logit_NV = head(hidden(batch.token_N[None], batch.position_N[None], batch.layout)[0])
    if not expected_NV.isfinite().all():
        raise Misfit("its logits are no finite numbers: a weight or a setting of its config.json is broken")
    expected_NV = torch.cat([expected_NV, expected_NV[PROMPT:-1]])
    # Without what all logits of a token share, which no probability depends on.
    computed_NV, expected_NV = (each - each.mean(-1, keepdim=True) for each in (logit_NV, expected_NV))
    compare(model, computed_NV, expected_NV, "its logits differ from transformers' own")


@torch.enable_grad()
def check_gradient(model: PreTrainedModel, hidden: Hidden) -> None:
    """Raises Misfit where no gradient reaches the adapters, as in layers that invert themselves."""
    batch = pack([Shared(probe_tokens(model).tolist(), ())], model.device)
    if not hidden(batch.token_N[None], batch.position_N[None], batch.layout).requires_grad:
        raise Misfit("no gradient comes through its layers")


def _window(holder: object) -> object:
    return getattr(holder, "sliding_window", None)


def probe_tokens(model: PreTrainedModel) -> Tensor:
    """int64 [TOKENS], spread over the vocabulary. Special tokens stand at its ends: they may mean padding, and half
    precision can be off by as much as their logits are large."""
    stride = model.config.get_text_config().vocab_size // (TOKENS + 1)
    return torch.arange(1, TOKENS + 1, device=model.device) * stride


def own_logits(model: PreTrainedModel) -> Tensor:
    """transformers' logits of the probe: fp32 [TOKENS, V]."""
    return model(input_ids=probe_tokens(model)[None], use_cache=False).logits[0].float()
