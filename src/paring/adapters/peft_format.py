"""Writes LoRA adapters as PEFT does: a folder of adapter_config.json and adapter_model.safetensors."""

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from paring.adapters.attach import Adapters
from paring.adapters.dora import DoraLinear
from paring.adapters.lowrank import LowRankLinear

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"

Layout = Literal["compact", "portable"]
"""compact: each module at its own rank, by rank_pattern and alpha_pattern, for PEFT and vLLM. portable: every module
padded with zeros to the largest rank, without patterns, for readers that know one rank alone (SGLang, llama.cpp)."""


EXPERT_NAMES = frozenset({"gate", "gate_proj", "up_proj", "down_proj", "w1", "w2", "w3"})
"""Last names of modules that PEFT takes for experts of earlier checkpoints, in models that hold experts as one tensor:
it then adapts that tensor in place of the module (0.21, utils/transformers_weight_conversion.py)."""


def taken_for_experts(model: nn.Module, adapters: Adapters) -> frozenset[str]:
    """The paths of the adapters that PEFT can take for adapters of fused experts, such as those of a shared expert."""
    has_fused_experts = any(parameter.ndim == 3 for parameter in model.parameters())
    return frozenset(path for path in adapters if has_fused_experts and path.rpartition(".")[2] in EXPERT_NAMES)


def write_peft_folder(
    folder: Path,
    adapters: Adapters,
    *,
    base_model: str,
    layout: Layout = "compact",
    as_parameters: Collection[str] = (),
) -> None:
    """Write into an empty `folder` what PeftModel.from_pretrained(base, folder) reads, to the same logits. The modules
    of `as_parameters` are named by their weight (target_parameters), which PEFT never takes for experts.

    Adapters of one rank and scale without gates are written as they are. In all others, gates and scale are folded
    into the factors, in fp32, so that alpha = rank in every module and any reader's scale is 1; components with a
    gate at 0, and modules without a component, are left out. The same adapters give the same bytes.
    """
    assert adapters, "there is no adapter to write"
    factors = {path: (one.A_RI.detach(), one.B_OR.detach()) for path, one in adapters.items()}
    first = next(iter(adapters.values()))
    scale = first.scale
    if any(one.c_R is not None or (one.rank, one.scale) != (first.rank, first.scale) for one in adapters.values()):
        # Where every gate is 0 the adapter is its base model; readers want a component all the same: one of zeros.
        zeros = (first.A_RI.new_zeros(1, first.in_features), first.B_OR.new_zeros(first.out_features, 1))
        factors = {path: _folded(one) for path, one in adapters.items()}
        factors = {path: pair for path, pair in factors.items() if len(pair[0])} or {next(iter(adapters)): zeros}
        scale = 1.0
    ranks = {path: len(A_RI) for path, (A_RI, _) in factors.items()}
    largest = max(ranks.values())
    if layout == "portable":
        missing = {path: largest - rank for path, rank in ranks.items()}
        factors = {
            path: (functional.pad(A_RI, (0, 0, 0, missing[path])), functional.pad(B_OR, (0, missing[path])))
            for path, (A_RI, B_OR) in factors.items()
        }
        ranks = {}
    # Anchored and escaped: PEFT and vLLM take keys as patterns, the first that fits the end of a path wins.
    names = {path: f"{path}.weight" if path in as_parameters else path for path in factors}
    pattern = {f"^{re.escape(names[path])}": rank for path, rank in ranks.items() if rank != largest}
    config = _config(names, largest, scale, pattern, first.dropout, base_model)
    # PEFT merges into the transpose where this says so; it takes one answer for all modules.
    config["use_dora"] = isinstance(first, DoraLinear)
    config["fan_in_fan_out"] = all(one.is_transposed for one in adapters.values())
    (folder / CONFIG).write_bytes(f"{json.dumps(config, indent=2, sort_keys=True)}\n".encode())
    tensors = {}
    for path, (A_RI, B_OR) in factors.items():
        tensors[f"base_model.model.{path}.lora_A.weight"] = A_RI.contiguous()
        tensors[f"base_model.model.{path}.lora_B.weight"] = B_OR.contiguous()
        if isinstance(one := adapters[path], DoraLinear):
            tensors[f"base_model.model.{path}.lora_magnitude_vector"] = one.m_O.detach().contiguous()
    # Not save_file, which gives the file mode 0600 whatever the umask.
    (folder / WEIGHTS).write_bytes(save(tensors, metadata={"format": "pt"}))


def _folded(adapter: LowRankLinear) -> tuple[Tensor, Tensor]:
    """A' = sqrt(s c) A and B' = B sqrt(s c), in fp32, so that B' A' = s B diag(c) A; without the components at 0."""
    gain_R = torch.full((adapter.rank,), adapter.scale, device=adapter.A_RI.device)
    if adapter.c_R is not None:
        gain_R = gain_R * adapter.c_R.detach().float()
    open_R, root_R = gain_R > 0, gain_R.sqrt()
    A_RI = adapter.A_RI.detach().float() * root_R[:, None]
    B_OR = adapter.B_OR.detach().float() * root_R
    return A_RI[open_R], B_OR[:, open_R]


def _config(
    names: Mapping[str, str], rank: int, scale: float, pattern: dict[str, int], dropout: float, base_model: str
) -> dict[str, object]:
    """adapter_config.json. `names` holds what each module is named by; `pattern` what differs from `rank`, and then
    alpha = rank everywhere."""
    alpha = round(scale * rank, 9)
    parameters = sorted(name for path, name in names.items() if name != path)
    # PEFT adds an update to a weight, and not to an output, where a parameter is named: dropout has no place there.
    by_parameter = {"target_parameters": parameters, "lora_dropout": 0.0} if parameters else {}
    return {
        "alpha_pattern": pattern,
        "base_model_name_or_path": base_model,
        "bias": "none",
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": int(alpha) if float(alpha).is_integer() else alpha,
        "lora_dropout": dropout,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": rank,
        "rank_pattern": pattern,
        # Whole paths: a shorter name could also match a module that has no adapter here.
        "target_modules": sorted(path for path, name in names.items() if name == path),
        "task_type": "CAUSAL_LM",
        "use_rslora": False,
    } | by_parameter
