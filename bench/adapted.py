"""One base with one set of adapters, twice: as a policy of ours and as PEFT's model of it."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import torch
from peft import PeftModel

from paring.adapters.attach import attach
from paring.adapters.kinds import Lora
from paring.adapters.peft_format import write_peft_folder
from paring.policy.loading import Model, load_base
from paring.policy.model import Policy

SPREAD_OF_B = 0.01
"""Enough to change the tokens, little enough to leave the model its language."""


def adapted_policy(model: str, lora: Lora, dtype: Literal["float32", "bfloat16"] = "float32") -> Policy:
    """Adapters on all that `lora` targets, with a B that is not 0."""
    base, tokenizer = load_base(Model(path=model, device="cpu", dtype=dtype))
    adapters = attach(base, lora, seed=0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for adapter in adapters.values():
            adapter.B_OR.normal_(0, SPREAD_OF_B, generator=generator)
    return Policy(base, tokenizer, adapters)


def peft_twin(policy: Policy, model: str) -> PeftModel:
    """The same base and adapters as PEFT puts them together, trainable."""
    base, _ = load_base(Model(path=model, device="cpu"))
    with TemporaryDirectory() as folder:
        write_peft_folder(Path(folder), policy.adapters, base_model=model)
        return PeftModel.from_pretrained(base, folder, is_trainable=True)


def lora_of(rank: int) -> Lora:
    """Scale 1, all linear modules."""
    return Lora(rank=rank, alpha=float(rank))
