"""An adapter for others: written in PEFT's form, read back by PEFT where it is installed, and compared."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from paring.adapters.attach import Adapters, detach, first_five
from paring.adapters.dora import DoraLinear
from paring.adapters.lowrank import LowRankLinear
from paring.adapters.peft_format import Layout, taken_for_experts, write_peft_folder
from paring.adapters.peft_reading import PeftLora, read_peft_folder
from paring.policy.attention import use_own
from paring.policy.bases import BaseIdentity, reference
from paring.policy.sharding import is_sharded
from paring.policy.wrappers import path_in_checkpoint, path_in_model, wrapper_of
from paring.runtime.machine import versions

if TYPE_CHECKING:
    from peft.tuners.lora import LoraLayer

Factors = tuple[Tensor, Tensor, float, Tensor | None]
"""A_RI, B_OR and s of an adapter in y = W x + s B A x, and m_O of DoRA."""
SAME_UPDATE = 1e-2
"""A share of the size of the update: above the rounding to bf16, which some readers do, and below any wrong scale."""


@dataclass(frozen=True)
class ReadBack:
    """What a reader makes of what was written. `difference` is the largest of the logits, or where `updates` is set of
    the updates of the weights, relative to their size; `fault` says what is wrong, None where all is right."""

    reader: str
    difference: float
    fault: str | None = None
    updates: bool = False

    @classmethod
    def of_logits(cls, reader: str, got: Tensor, expected: Tensor, rounding: float, fault: str | None) -> "ReadBack":
        """`rounding`: the largest difference that is no fault, relative to the largest of the logits."""
        apart = float((got - expected).abs().max())
        if fault is None and not apart <= rounding * float(expected.abs().max().clamp(min=1)):
            fault = f"logits differ by {apart:.2g}"
        return cls(reader, apart, fault)

    def __str__(self) -> str:
        what = "of the updates, as a share of their size," if self.updates else "of the logits"
        return f"read back by {self.reader}: largest difference {what} {self.difference:.1g}"


def publish(
    staging: Path,
    model: PreTrainedModel,
    adapters: Adapters,
    *,
    base: str,
    target: Path,
    layout: Layout = "compact",
    by_peft: bool = True,
    identity: BaseIdentity | None = None,
) -> ReadBack:
    """Write the adapters of a model, whose `model.path` is `base`, into `staging`, which is to become `target`, and
    read them back: by PEFT where it is installed, if `by_peft` or where PEFT may take them for others. `identity`: what
    `joint_identity` gave of a divided base, through which no process makes a pass alone.

    The adapters of a text part are named as in the wrapper that its checkpoint holds: readers load that."""
    adapters = {path_in_checkpoint(model, path): adapter for path, adapter in adapters.items()}
    own = {path: _factors(one) for path, one in adapters.items()}
    doubtful, has_peft = taken_for_experts(model, adapters), find_spec("peft") is not None and identity is None
    forms = [frozenset[str](), doubtful] if doubtful and has_peft else [doubtful]
    name = reference(base, target)
    (identity or BaseIdentity.of(model, name)).write(staging)
    found: ReadBack | None = None
    for form in forms:
        write_peft_folder(staging, adapters, base_model=name, layout=layout, as_parameters=form)
        uses_peft = has_peft and (by_peft or bool(doubtful))
        found = _read_by_peft(model, staging, own) if uses_peft else _read_by_us(staging, own)
        if found.fault is None:
            break
    assert found is not None
    return found


def joint_identity(model: PreTrainedModel, base: str, target: Path) -> BaseIdentity | None:
    """The identity of a base that is divided among processes, which they compute together; None of any other."""
    return BaseIdentity.of(model, reference(base, target)) if is_sharded(model) else None


def read_published(model: nn.Module, folder: Path) -> PeftLora:
    """The adapters of a folder, by their paths in `model`: in a text part, where they are named as in its wrapper.
    Raises ValueError as read_peft_folder does."""
    return read_peft_folder(folder).renamed(partial(path_in_model, model))


def bound(dtype: torch.dtype) -> float:
    """The largest difference of logits that rounding explains, relative to the largest logit."""
    return {torch.float32: 1e-3, torch.float16: 2e-2}.get(dtype, 1e-1)


@torch.no_grad()
def probe_logits(model: nn.Module, vocabulary: int) -> Tensor:
    """transformers' logits of two short rows of tokens, fp32 [2, 12, V]."""
    device = next(parameter.device for parameter in model.parameters() if not parameter.is_meta)
    token_BN = (torch.arange(24, device=device) * 7 + 1).view(2, 12) % vocabulary
    return model(input_ids=token_BN, use_cache=False).logits.float()


def _read_by_us(folder: Path, own: Mapping[str, Factors]) -> ReadBack:
    stored = read_peft_folder(folder)
    read = {path: (*pair, stored.scales[path], stored.magnitudes.get(path)) for path, pair in stored.tensors.items()}
    apart, fault = _updates_apart(own, read)
    return ReadBack(f"paring {versions()['paring']}", apart, fault, updates=True)


def _read_by_peft(model: PreTrainedModel, folder: Path, own: Mapping[str, Factors]) -> ReadBack:
    """By PEFT on the model's own base, whose adapters are put back afterwards; of a text part, in its wrapper."""
    with _quietly():
        from peft import PeftModel
        from peft.tuners.lora import LoraLayer

    reader = f"PEFT {version('peft')}"
    vocabulary = model.config.get_text_config().vocab_size
    attention = model.config._attn_implementation or "eager"
    use_own(model)
    try:
        expected = probe_logits(model, vocabulary)
        wrapper = wrapper_of(model)
        whole = model if wrapper is None else wrapper.around(model)
        with _bare(whole), _quietly():
            try:
                peft = PeftModel.from_pretrained(whole, str(folder), torch_device=str(model.device)).eval()
                got = probe_logits(peft, vocabulary)
            # PEFT raises what it likes over a module or a shape that it does not expect.
            except Exception as error:
                return ReadBack(reader, float("nan"), f"PEFT fails ({type(error).__name__}: {error})".split("\n")[0])
            layers = {path: one for path, one in peft.get_base_model().named_modules() if isinstance(one, LoraLayer)}
            read = {path: _factors_of(one) for path, one in layers.items()}
            _, fault = _updates_apart(own, read)
    finally:
        model.set_attn_implementation(attention)
    is_exact = model.dtype == torch.float32 and not getattr(model, "is_loaded_in_8bit", False)
    return ReadBack.of_logits(reader, got, expected, bound(torch.float32 if is_exact else torch.bfloat16), fault)


def _factors(adapter: LowRankLinear) -> Factors:
    magnitude_O = adapter.m_O.detach() if isinstance(adapter, DoraLinear) else None
    return adapter.A_RI.detach(), adapter.gated_OR.detach(), adapter.scale, magnitude_O


def _factors_of(layer: "LoraLayer") -> Factors:
    """Those of a layer of PEFT, which keeps them by the name of the adapter; its one adapter is the default."""
    A_RI, B_OR = (held["default"].get_parameter("weight") for held in (layer.lora_A, layer.lora_B))
    magnitudes = layer.lora_magnitude_vector
    magnitude_O = magnitudes["default"].get_parameter("weight") if "default" in magnitudes else None
    return A_RI, B_OR, layer.scaling["default"], magnitude_O


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the warnings of other libraries: what they say of a fault, the comparison finds."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


@contextmanager
def _bare(model: PreTrainedModel) -> Iterator[None]:
    """Within it the model is its base, which may be wrapped; afterwards every module is where it was."""
    before = {path: module for path, module in model.named_modules() if path}
    detach(model)
    try:
        yield
    finally:
        for path, module in before.items():  # from the outside to the inside
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, module)
        vars(model).pop("peft_config", None)


@torch.no_grad()
def _updates_apart(own: Mapping[str, Factors], read: Mapping[str, Factors]) -> tuple[float, str | None]:
    """The largest difference of the updates s B A of the modules, each tried on four inputs, relative to its own; and
    the modules where it is more than rounding, in words."""
    apart = {path: _apart(own.get(path), read.get(path)) for path in own.keys() | read.keys()}
    wrong = sorted(path for path, one in apart.items() if not one <= SAME_UPDATE)
    return max(apart.values()), f"the update differs in {first_five(wrong)}" if wrong else None


def _apart(own: Factors | None, read: Factors | None) -> float:
    one, other = _tried(own), _tried(read)
    if one is None or other is None:
        present = other if one is None else one
        return float(present is not None and bool(present.any()))
    if one.shape != other.shape:
        return float("inf")
    return float((one - other).abs().max() / one.abs().max().clamp(min=1e-30))


def _tried(factors: Factors | None) -> Tensor | None:
    """s B A x for four fixed inputs x: fp32 [out, 4]; of DoRA with m beside it, [out, 5]."""
    if factors is None:
        return None
    A_RI, B_OR, scale, magnitude_O = factors
    x_IN = torch.randn(A_RI.shape[1], 4, generator=torch.Generator().manual_seed(0))
    tried_O4 = scale * (B_OR.float().cpu() @ (A_RI.float().cpu() @ x_IN))
    return tried_O4 if magnitude_O is None else torch.cat([tried_O4, magnitude_O.float().cpu()[:, None]], dim=1)
