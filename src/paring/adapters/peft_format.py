"""Reads and writes LoRA adapters as PEFT does: a folder of adapter_config.json and adapter_model.safetensors."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from paring.adapters.attach import Adapters, Lora, attach, first_five, linear_modules, load_state, targeted_modules
from paring.adapters.lowrank import LowRankLinear

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
TENSOR = re.compile(r"base_model\.model\.(?P<path>.+)\.lora_(?P<matrix>[AB])\.weight")

# Keys of adapter_config.json that do not change what the tensors compute: which modules were chosen (the tensors tell
# it better than target_modules does), how A was drawn, and who wrote the file for what.
WITHOUT_EFFECT = frozenset(
    "auto_mapping base_model_name_or_path eva_config exclude_modules inference_mode layers_pattern layers_to_transform "
    "megatron_core peft_version qalora_group_size revision target_modules task_type".split()
)
SCALING = frozenset({"r", "lora_alpha", "lora_dropout", "use_rslora"})
# Other ways to initialise (pissa, olora, corda, loftq, ...) change the base as well.
ACCEPTED = {"peft_type": ("LORA",), "bias": ("none",), "init_lora_weights": (True, "gaussian", "orthogonal", "eva")}


@dataclass(frozen=True, slots=True)
class PeftLora:
    """What a PEFT LoRA folder holds. `targets` are module paths; `tensors` maps each to (A_RI, B_OR)."""

    rank: int
    alpha: float
    scaling: Literal["plain", "rank-stabilised"]
    dropout: float
    targets: tuple[str, ...]
    tensors: dict[str, tuple[Tensor, Tensor]]
    base_model: str | None


def write_peft_folder(folder: Path, adapters: Adapters, settings: Lora, *, base_model: str) -> None:
    """Write into an empty `folder` what PeftModel.from_pretrained(base, folder) reads, to the same logits.

    The same adapters give the same bytes. `settings` must be those that the adapters were attached with.
    """
    assert adapters, "there is no adapter to write"
    assert all(adapter.rank == settings.rank and adapter.scale == settings.scale for adapter in adapters.values())
    config = {
        "alpha_pattern": {},
        "base_model_name_or_path": base_model,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": int(settings.alpha) if settings.alpha.is_integer() else settings.alpha,
        "lora_dropout": settings.dropout,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": settings.rank,
        "rank_pattern": {},
        # Whole paths: a shorter name could also match a module that has no adapter here.
        "target_modules": sorted(adapters),
        "task_type": "CAUSAL_LM",
        "use_dora": False,
        "use_rslora": settings.scaling == "rank-stabilised",
    }
    tensors = {}
    for path, adapter in adapters.items():
        tensors[f"base_model.model.{path}.lora_A.weight"] = adapter.A_RI.detach().contiguous()
        tensors[f"base_model.model.{path}.lora_B.weight"] = adapter.B_OR.detach().contiguous()
    (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    # Not save_file, which gives the file mode 0600 whatever the umask.
    (folder / WEIGHTS).write_bytes(save(tensors, metadata={"format": "pt"}))


def read_peft_folder(folder: Path) -> PeftLora:
    """Read a PEFT LoRA folder as a place to start from.

    Raises ValueError if a file is missing or broken, if the weights are a pickle, or if the folder holds anything that
    y = W x + s B A x with one rank and one scale for all modules cannot represent.
    """
    config = _read_config(folder / CONFIG)
    tensors = _read_tensors(folder)
    try:
        # What is absent has PEFT's default.
        settings = Lora(
            rank=config.get("r", 8),
            alpha=config.get("lora_alpha", 8),
            dropout=config.get("lora_dropout", 0.0),
            scaling="rank-stabilised" if config.get("use_rslora") else "plain",
            targets=tuple(sorted(tensors)),
        )
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG}: r, lora_alpha or lora_dropout cannot be used: {error}") from error
    wrong = [path for path, (A_RI, B_OR) in tensors.items() if not A_RI.shape[0] == B_OR.shape[1] == settings.rank]
    if wrong:
        raise ValueError(f"{folder / WEIGHTS}: the rank is not r={settings.rank} of {CONFIG} in {first_five(wrong)}")
    return PeftLora(
        rank=settings.rank,
        alpha=settings.alpha,
        scaling=settings.scaling,
        dropout=settings.dropout,
        targets=settings.targets,
        tensors=tensors,
        base_model=config.get("base_model_name_or_path"),
    )


def attach_from_peft(model: nn.Module, folder: Path) -> tuple[dict[str, LowRankLinear], Lora]:
    """Attach the adapters of a PEFT LoRA folder, with its rank, scale, targets and weights, ready to be trained on.

    Returns the adapters and the settings that describe them. Raises ValueError, the model untouched, as
    read_peft_folder and attach do, and if the model lacks modules of the folder or has them in other shapes.
    """
    found = read_peft_folder(folder)
    misfits = _misfits(model, found)
    if misfits:
        raise ValueError(
            f"{folder} is an adapter of another base model (it names {found.base_model!r}): {first_five(misfits)}"
        )
    settings = Lora(
        rank=found.rank,
        alpha=found.alpha,
        dropout=found.dropout,
        scaling=found.scaling,
        targets=_brief_targets(model, found.targets),
        start=str(folder),
    )
    adapters = attach(model, settings, seed=0)  # the seed does not matter: every value is overwritten
    A = {f"{path}.A": A_RI for path, (A_RI, _) in found.tensors.items()}
    B = {f"{path}.B": B_OR for path, (_, B_OR) in found.tensors.items()}
    load_state(adapters, A | B)
    return adapters, settings


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"{path} does not exist: a PEFT folder holds {CONFIG} and {WEIGHTS}")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise ValueError(f"{path} does not say peft_type LORA: only plain LoRA adapters can be read")
    even = {"rank_pattern": config.get("r", 8), "alpha_pattern": config.get("lora_alpha", 8)}
    for key, value in config.items():
        without_effect = not value or key in WITHOUT_EFFECT or key in SCALING or value in ACCEPTED.get(key, ())
        same_for_all = key in even and isinstance(value, dict) and all(one == even[key] for one in value.values())
        if not without_effect and not same_for_all:
            raise ValueError(
                f"{path} sets {key}={value!r}, which a LoRA of one rank and one scale cannot represent: "
                "merge that adapter into its base model with PEFT (merge_and_unload) and start from the merged model"
            )
    return config


def _read_tensors(folder: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Module path -> (A_RI, B_OR), in the order of the paths."""
    path = folder / WEIGHTS
    if not path.is_file():
        pickled = sorted(found.name for found in folder.glob("*.bin"))
        why = f"; {pickled[0]} is a pickle, which may run code when read: save it again with PEFT" if pickled else ""
        raise ValueError(f"{path} does not exist{why}")
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from error
    by_path: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        match = TENSOR.fullmatch(name)
        if match is None or tensor.ndim != 2:
            raise ValueError(f"{path}: {name} {list(tensor.shape)} is not a matrix A or B of a linear module's LoRA")
        by_path.setdefault(match["path"], {})[match["matrix"]] = tensor
    lone = [module for module, pair in by_path.items() if len(pair) != 2]
    if lone or not by_path:
        raise ValueError(f"{path}: a matrix A or B is missing of {first_five(lone) or 'every module'}")
    return {module: (pair["A"], pair["B"]) for module, pair in sorted(by_path.items())}


def _misfits(model: nn.Module, found: PeftLora) -> list[str]:
    """What of the folder the model has no module for, one line each."""
    linear = linear_modules(model)
    misfits = []
    for path, (A_RI, B_OR) in found.tensors.items():
        if path not in linear:
            misfits.append(f"{path} is no linear module of the model")
        elif (have := (linear[path].in_features, linear[path].out_features)) != (A_RI.shape[1], B_OR.shape[0]):
            misfits.append(f"{path} is {have[0]} -> {have[1]}, the adapter {A_RI.shape[1]} -> {B_OR.shape[0]}")
    return misfits


def _brief_targets(model: nn.Module, paths: tuple[str, ...]) -> tuple[str, ...]:
    """The last names of `paths` where these choose the same modules of the model, else `paths` themselves."""
    names = tuple(sorted({path.rpartition(".")[2] for path in paths}))
    return names if set(targeted_modules(model, names)) == set(paths) else paths
