"""A policy's adapters merged into its base, written as a whole model, loaded again and compared."""

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from shutil import copyfile

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.utils.hub import cached_file

from paring.adapters.attach import merge
from paring.policy.attention import use_own
from paring.policy.bases import BaseIdentity
from paring.policy.loading import Model, load_base, read_config
from paring.policy.model import Policy
from paring.policy.publishing import ReadBack, bound, probe_logits
from paring.policy.saving import as_plain_numbers
from paring.policy.wrappers import TextPart, wrapper_of

PROCESSORS = ("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json")
STORED = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def checkpoint_dtype(model: Model) -> str:
    """The precision in which a base is stored, by its configuration; fp32 where it names none of ours."""
    config = read_config(model)
    stored = (config.dtype, config.get_text_config().dtype)
    return next((name for name, dtype in STORED.items() if dtype in stored), "float32")


def write_merged(staging: Path, policy: Policy, base: Model, dtype: str) -> ReadBack:
    """Merge in fp32, cast to `dtype` last, write, load again as the `base` was and compare the logits with those of the
    adapters beside it. The policy is spent. A text part is a model of its own; where transformers has no class for
    that, the whole checkpoint is written around it.

    Raises ValueError, nothing written, where the base is not dense."""
    model, precision = policy.model, policy.model.dtype
    vocabulary = model.config.get_text_config().vocab_size
    use_own(model)
    expected = probe_logits(model, vocabulary)
    merge(model)
    as_plain_numbers(model)
    whole, wrapper = model, wrapper_of(model)
    if isinstance(model, TextPart):
        assert wrapper is not None
        whole = wrapper.put_into(wrapper.load(), model)
        _copy_processors(base, staging)
    _cast(whole, STORED[dtype])
    written = BaseIdentity.of(model, "merged")
    whole.save_pretrained(staging)
    policy.tokenizer.save_pretrained(staging)
    _forget(whole)  # two large models may not fit beside each other
    loaded, _ = load_base(replace(base, path=str(staging)))
    difference = written.difference(BaseIdentity.of(loaded, "merged"))
    rounding = max(bound(precision), bound(STORED[dtype]))
    fault = None if difference is None else f"what is loaded differs from what was written: {difference}"
    reader = f"transformers {version('transformers')}"
    return ReadBack.of_logits(reader, probe_logits(loaded, vocabulary), expected, rounding, fault)


def _copy_processors(base: Model, folder: Path) -> None:
    """What makes inputs of images and sounds, where the checkpoint has it: without it the whole could only read."""
    local = Path(base.path).expanduser()
    for name in PROCESSORS:
        found = cached_file(
            local if local.exists() else base.path,
            name,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
        if found is not None:
            copyfile(found, folder / name)


@torch.no_grad()
def _cast(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """All parameters but those that the architecture keeps in fp32: some always, some beside fp16 alone."""
    kept = {*(model._keep_in_fp32_modules_strict or ())}
    kept |= {*(model._keep_in_fp32_modules or ())} if dtype == torch.float16 else set()
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and not any(part in kept for part in name.split(".")):
            parameter.data = parameter.data.to(dtype)


def _forget(model: nn.Module) -> None:
    """Let go of the numbers of a model that others still hold."""
    for parameter in model.parameters():
        parameter.data = torch.empty(0, dtype=parameter.dtype)
