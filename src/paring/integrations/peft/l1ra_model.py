"""L1RA's tuner in PEFT: puts the layers on a model, keeps the ranks in the config, and exports plain LoRA."""

import copy
import re
from pathlib import Path
from typing import Any

from peft import PeftConfig, PeftType
from peft.tuners.tuners_utils import BaseTuner
from peft.utils import INCLUDE_LINEAR_LAYERS_SHORTHAND, ModulesToSaveWrapper, register_peft_method
from peft.utils.other import get_pattern_key
from torch import nn

from paring.adapters.lowrank import LowRankLinear
from paring.adapters.peft_format import Layout, write_peft_folder
from paring.integrations.peft.l1ra_config import GatedConfig, L1raConfig, L1raReferenceConfig
from paring.integrations.peft.l1ra_layer import L1raLinear

ROOT = "base_model.model."
"""The prefix that PeftModel puts before the paths of its model."""


class L1raModel(BaseTuner):
    """The adapters on a model. `peft_config[name].rank_pattern` follows the ranks: see note_ranks."""

    prefix = "l1ra_"
    tuner_layer_cls = L1raLinear
    target_module_mapping: dict[str, list[str]] = {}  # noqa: RUF012  as PEFT declares it

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A checkpoint may bring other ranks: Trainer's resume loads its tensors without reading its config.
        self.register_load_state_dict_post_hook(_note_loaded_ranks)

    def _prepare_adapter_config(self, peft_config: PeftConfig, model_config: dict[str, object]) -> PeftConfig:
        assert isinstance(peft_config, GatedConfig)
        if peft_config.target_modules is None:
            peft_config.target_modules = INCLUDE_LINEAR_LAYERS_SHORTHAND
        return peft_config

    def _create_and_replace(
        self,
        peft_config: PeftConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        assert isinstance(peft_config, GatedConfig)
        rank = rank_of(peft_config, current_key)
        if isinstance(target, L1raLinear):
            target.update_layer(adapter_name, peft_config, rank)
            return
        layer = L1raLinear(target, adapter_name, peft_config, rank)
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)  # an additional adapter is not trained unless it is made active
        self._replace_module(parent, target_name, layer, target)


def _note_loaded_ranks(tuner: nn.Module, incompatible_keys: object) -> None:
    note_ranks(tuner)


def configs_of(model: nn.Module) -> dict[str, PeftConfig]:
    """PEFT's configs of a model by adapter name, the dict itself; none where the model has no adapters."""
    return getattr(model, "peft_config", {})


def config_of(model: nn.Module, adapter: str) -> GatedConfig:
    """The config of an L1RA adapter."""
    config = configs_of(model)[adapter]
    assert isinstance(config, GatedConfig), type(config).__name__
    return config


def layers_of(model: nn.Module, adapter: str) -> dict[str, L1raLinear]:
    """Module path, as in the bare model, -> layer that has this adapter, in the model's order."""
    bare = model.model if isinstance(model, BaseTuner) else model
    return {
        path.removeprefix(ROOT): module
        for path, module in bare.named_modules()
        if isinstance(module, L1raLinear) and adapter in module.l1ra_A
    }


def adapters_of(model: nn.Module, adapter: str = "default") -> dict[str, LowRankLinear]:
    """Module path -> the adapter as the core knows it, sharing its parameters with the model."""
    return {path: layer.low_rank(adapter) for path, layer in layers_of(model, adapter).items()}


def rank_of(config: GatedConfig, path: str) -> int:
    """The rank of a module: that of the first pattern which fits the end of its path, else the start rank.

    The whole path, anchored and escaped as note_ranks writes it, is looked up first: PEFT's search tries one regular
    expression a pattern, and a large model has a pattern for almost every module."""
    literal = f"^{re.escape(path)}"
    key = literal if literal in config.rank_pattern else get_pattern_key(list(config.rank_pattern), path)
    return config.rank_pattern.get(key, config.first_rank)


def note_ranks(model: nn.Module) -> None:
    """Write the ranks of all adapters of `model`, a PeftModel or L1raModel, into their configs, so that a saved adapter
    can be built again. Configs that say otherwise are replaced: adapters may share one."""
    configs = configs_of(model)
    for name, config in list(configs.items()):
        if not isinstance(config, GatedConfig):
            continue
        ranks = {path: layer.rank(name) for path, layer in layers_of(model, name).items()}
        if any(rank != rank_of(config, path) for path, rank in ranks.items()):
            noted, first = copy.copy(config), config.first_rank
            noted.rank_pattern = {f"^{re.escape(path)}": rank for path, rank in ranks.items() if rank != first}
            configs[name] = noted


def save_as_lora(model: nn.Module, folder: str | Path, *, adapter: str = "default", layout: Layout = "compact") -> None:
    """Write an L1RA adapter of a causal language model as a plain LoRA folder, gates and scale folded into the factors:
    PEFT and vLLM read layout "compact", SGLang and llama.cpp "portable". Nobody who reads it needs paring.

    Raises ValueError where the adapter is more than its low-rank factors, and FileExistsError if `folder` holds files.
    """
    if any(isinstance(module, ModulesToSaveWrapper) for module in model.modules()):
        raise ValueError("the model has modules_to_save, which a plain LoRA folder of ours cannot hold: merge instead")
    adapters = adapters_of(model, adapter)
    if not adapters:
        raise ValueError(f"the model has no L1RA adapter called {adapter!r}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: name a new folder")
    base_model = config_of(model, adapter).base_model_name_or_path or ""
    write_peft_folder(folder, adapters, base_model=base_model, layout=layout)


def register() -> None:
    """Make both configs known to PEFT. A second call changes nothing."""
    for config in (L1raConfig, L1raReferenceConfig):
        if config.PEFT_TYPE not in PeftType.__members__:
            _extend_peft_types(config.PEFT_TYPE)
            register_peft_method(
                name=config.PEFT_TYPE.lower(), config_cls=config, model_cls=L1raModel, prefix=L1raModel.prefix
            )


def _extend_peft_types(name: str) -> None:
    """Add a member to PEFT's enum of strings. There is no other way in: its registry asks this enum first."""
    member = str.__new__(PeftType, name)
    member._name_, member._value_ = name, name
    setattr(PeftType, name, member)
    PeftType._member_names_.append(name)
    PeftType._member_map_[name] = member
    PeftType._value2member_map_[name] = member
