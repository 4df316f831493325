"""A policy's adapters merged into its base, written as a whole model, loaded again and compared."""

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel

from paring.adapters.attach import merge
from paring.policy.attention import use_own
from paring.policy.bases import BaseIdentity
from paring.policy.loading import Model, load_base, read_config
from paring.policy.model import Policy
from paring.policy.publishing import ReadBack, bound, probe_logits
from paring.policy.saving import as_plain_numbers

STORED = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def checkpoint_dtype(model: Model) -> str:
    """The precision in which a base is stored, by its configuration; fp32 where it names none of ours."""
    config = read_config(model)
    stored = (config.dtype, config.get_text_config().dtype)
    return next((name for name, dtype in STORED.items() if dtype in stored), "float32")


def write_merged(staging: Path, policy: Policy, base: Model, dtype: str) -> ReadBack:
    """Merge in fp32, cast to `dtype` last, write, load again as the `base` was and compare the logits with those of the
    adapters beside it. The policy is spent.

    Raises ValueError, nothing written, where the base is not dense."""
    model, precision = policy.model, policy.model.dtype
    vocabulary = model.config.get_text_config().vocab_size
    use_own(model)
    expected = probe_logits(model, vocabulary)
    merge(model)
    as_plain_numbers(model)
    _cast(model, STORED[dtype])
    written = BaseIdentity.of(model, "merged")
    model.save_pretrained(staging)
    policy.tokenizer.save_pretrained(staging)
    _forget(model)  # two large models may not fit beside each other
    loaded, _ = load_base(replace(base, path=str(staging)))
    difference = written.difference(BaseIdentity.of(loaded, "merged"))
    rounding = max(bound(precision), bound(STORED[dtype]))
    fault = None if difference is None else f"what is loaded differs from what was written: {difference}"
    reader = f"transformers {version('transformers')}"
    return ReadBack.of_logits(reader, probe_logits(loaded, vocabulary), expected, rounding, fault)


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
