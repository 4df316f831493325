"""Reads LoRA adapters that PEFT, or paring, wrote, and attaches them to a model."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import sqrt
from pathlib import Path

from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from paring.adapters.attach import attach, first_five, load_state, set_ranks
from paring.adapters.kinds import Dora, Gated, Lora
from paring.adapters.linear import features_of
from paring.adapters.lowrank import LowRankLinear
from paring.adapters.peft_format import CONFIG, WEIGHTS
from paring.adapters.targets import linear_modules
from paring.settings.complaints import reason_of

LORA = TypeAdapter(Lora)
TENSOR = re.compile(r"base_model\.model\.(?P<path>.+)\.lora_(?P<matrix>[AB])\.weight")
MAGNITUDE = re.compile(r"base_model\.model\.(?P<path>.+)\.lora_magnitude_vector")

# Keys of adapter_config.json that do not change what the tensors compute: which modules were chosen (the tensors show
# it better than target_modules does), how A was drawn, which tool wrote the file for what.
WITHOUT_EFFECT = frozenset(
    "auto_mapping base_model_name_or_path eva_config exclude_modules fan_in_fan_out inference_mode layers_pattern "
    "layers_to_transform megatron_core peft_version qalora_group_size revision target_modules task_type "
    "use_dora".split()
)
SCALING = frozenset({"r", "lora_alpha", "lora_dropout", "use_rslora"})
PATTERNS = frozenset({"rank_pattern", "alpha_pattern"})
PARAMETERS = "target_parameters"
# Other ways to initialise (pissa, olora, corda, loftq, ...) change the base as well.
ACCEPTED = {"peft_type": ("LORA",), "bias": ("none",), "init_lora_weights": (True, "gaussian", "orthogonal", "eva")}


@dataclass(frozen=True, slots=True)
class PeftLora:
    """A PEFT LoRA folder. By module path: `tensors` (A_RI, B_OR) and `scales`, s in y = W x + s B A x; of DoRA also
    `magnitudes` m_O."""

    folder: Path
    dropout: float
    tensors: dict[str, tuple[Tensor, Tensor]]
    scales: dict[str, float]
    base_model: str | None
    magnitudes: dict[str, Tensor] = field(default_factory=dict)

    def renamed(self, rename: Callable[[str], str]) -> "PeftLora":
        """The same with other paths."""
        tensors, scales = ({rename(path): one for path, one in held.items()} for held in (self.tensors, self.scales))
        magnitudes = {rename(path): one for path, one in self.magnitudes.items()}
        return replace(self, tensors=tensors, scales=scales, magnitudes=magnitudes)

    @property
    def ranks(self) -> dict[str, int]:
        """Module path -> rank."""
        return {path: len(A_RI) for path, (A_RI, _) in self.tensors.items()}

    @property
    def features(self) -> dict[str, tuple[int, int]]:
        """Module path -> (inputs, outputs)."""
        return {path: (A_RI.shape[1], B_OR.shape[0]) for path, (A_RI, B_OR) in self.tensors.items()}


def read_peft_folder(folder: Path) -> PeftLora:
    """Read a PEFT LoRA folder as a place to start from.

    Raises ValueError if a file is missing or broken, if the weights are a pickle, if a rank in the config is not that
    of its tensors, or if the folder holds anything that y = W x + s B A x cannot represent.
    """
    config = _read_config(folder / CONFIG)
    tensors, magnitudes = _read_tensors(folder)
    is_dora = bool(config.get("use_dora"))
    if magnitudes.keys() != (tensors.keys() if is_dora else set()):
        raise ValueError(
            f"{folder}: {CONFIG} says use_dora = {str(is_dora).lower()}, and {WEIGHTS} has the magnitudes of "
            f"{len(magnitudes)} of {len(tensors)} modules"
        )
    base_model = config.get("base_model_name_or_path")
    try:
        settings = {path: _settings_of(config, path) for path in tensors}
    except ValueError as error:
        raise ValueError(
            f"{folder / CONFIG}: r, lora_alpha or lora_dropout cannot be used: {reason_of(error)}"
        ) from error
    wrong = [
        f"{path} (rank {settings[path].rank}, tensors of {A_RI.shape[0]} and {B_OR.shape[1]})"
        for path, (A_RI, B_OR) in tensors.items()
        if not A_RI.shape[0] == B_OR.shape[1] == settings[path].rank
    ]
    if wrong:
        raise ValueError(f"{folder / WEIGHTS}: the rank is not the one that {CONFIG} gives in {first_five(wrong)}")
    return PeftLora(
        folder,
        next(iter(settings.values())).dropout,
        tensors,
        {path: one.scale for path, one in settings.items()},
        base_model if isinstance(base_model, str) else None,
        magnitudes,
    )


def attach_from_peft(model: nn.Module, stored: PeftLora, settings: Gated | None = None) -> dict[str, LowRankLinear]:
    """Attach the adapters of a PEFT LoRA folder, with its ranks, scales, targets and weights, ready to be trained on.

    With `settings` they are gated: all gates begin at 1 and the scale is that of the settings, which the factors make
    up for, so that the function is the folder's. Returns module path -> adapter. Raises ValueError, the model
    untouched, as Gated.check_start and attach do, and if the model lacks modules of the folder or
    has them in other shapes.
    """
    linear = {path: features_of(module) for path, module in linear_modules(model).items()}
    misfits = []
    for path, (A_RI, B_OR) in stored.tensors.items():
        if path not in linear:
            misfits.append(f"{path} is no linear module of the model")
        elif (have := linear[path]) != (A_RI.shape[1], B_OR.shape[0]) and have:
            misfits.append(f"{path} is {have[0]} -> {have[1]}, the adapter {A_RI.shape[1]} -> {B_OR.shape[0]}")
    if misfits:
        raise ValueError(
            f"{stored.folder} is an adapter of another base model (it names {stored.base_model!r}): "
            f"{first_five(misfits)}"
        )
    ranks = stored.ranks
    if settings is not None:
        settings.check_start({path: (ranks[path], sum(have)) for path, have in stored.features.items()})
    # Neither seed nor rank matters: every value is overwritten.
    own = Dora() if stored.magnitudes else Lora()
    if settings is not None:
        own = replace(settings, start=None, reference="base")
    adapters = attach(model, replace(own, dropout=stored.dropout, targets=tuple(stored.tensors)), seed=0)
    set_ranks(adapters, ranks)
    tensors: dict[str, Tensor] = {}
    for path, adapter in adapters.items():
        if settings is None:
            adapter.scale = stored.scales[path]
        root = sqrt(stored.scales[path] / adapter.scale)
        A_RI, B_OR = stored.tensors[path]
        tensors |= {f"{path}.A": A_RI * root, f"{path}.B": B_OR * root}
        if path in stored.magnitudes:
            tensors[f"{path}.m"] = stored.magnitudes[path]
        tensors |= {} if adapter.c_R is None else {f"{path}.c": A_RI.new_ones(ranks[path])}
    load_state(adapters, tensors)
    return adapters


def pattern_value(patterns: object, path: str, default: object) -> object:
    """The value that rank_pattern or alpha_pattern has for a module: the first key that names it, or the end of its
    path, wins. Without patterns, `default`.

    Raises ValueError for a key that is more than an escaped name: a regular expression out of a file could run for
    ever, and tools write names."""
    for key, value in patterns.items() if isinstance(patterns, dict) else ():
        written = key.removeprefix("^").removesuffix("$")
        if re.search(r"\\[0-9A-Za-z]|[\^$*+?{}\[\]|()]", re.sub(r"\\[^0-9A-Za-z]", "", written)):
            raise ValueError(f"the pattern {key!r} is more than a module's name: write one key a module")
        name = re.sub(r"\\(.)", r"\1", written)
        if path == name or (not key.startswith("^") and path.endswith(f".{name}")):
            return value
    return default


def _settings_of(config: dict[str, object], path: str) -> Lora:
    """The settings of one module in adapter_config.json; an absent one has PEFT's default. Raises ValueError."""
    weight = f"{path}.weight"
    name = weight if weight in _named_by_weight(config) else path
    values = {
        "rank": pattern_value(config.get("rank_pattern"), name, config.get("r", 8)),
        "alpha": pattern_value(config.get("alpha_pattern"), name, config.get("lora_alpha", 8)),
        "dropout": config.get("lora_dropout", 0.0),
        "scaling": "rank-stabilised" if config.get("use_rslora") else "plain",
    }
    # By way of JSON, of which strict settings take an object.
    return LORA.validate_json(json.dumps(values))


def _named_by_weight(config: dict[str, object]) -> list[str]:
    """The weights of linear modules among target_parameters, by their whole paths as write_peft_folder has them."""
    listed = config.get(PARAMETERS)
    return [name for name in listed if str(name).endswith(".weight")] if isinstance(listed, list) else []


def _read_config(path: Path) -> dict[str, object]:
    if not path.is_file():
        raise ValueError(f"{path} does not exist: a PEFT folder holds {CONFIG} and {WEIGHTS}")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise ValueError(f"{path} does not say peft_type LORA: only plain LoRA adapters can be read")
    for key, value in config.items():
        without_effect = not value or key in WITHOUT_EFFECT or key in SCALING or value in ACCEPTED.get(key, ())
        is_pattern = key in PATTERNS and isinstance(value, dict)
        if not (without_effect or is_pattern or (key == PARAMETERS and value == _named_by_weight(config))):
            raise ValueError(
                f"{path} sets {key}={value!r}, which y = W x + s B A x cannot represent: "
                "merge that adapter into its base model with PEFT (merge_and_unload) and start from the merged model"
            )
    return config


def _read_tensors(folder: Path) -> tuple[dict[str, tuple[Tensor, Tensor]], dict[str, Tensor]]:
    """Module path -> (A_RI, B_OR), in the order of the paths; and of DoRA -> m_O."""
    path = folder / WEIGHTS
    if not path.is_file():
        pickled = sorted(file.name for file in folder.glob("*.bin"))
        why = f"; {pickled[0]} is a pickle, which may run code when read: save it again with PEFT" if pickled else ""
        raise ValueError(f"{path} does not exist{why}")
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from error
    by_path: dict[str, dict[str, Tensor]] = {}
    magnitudes: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not tensor.float().isfinite().all():
            raise ValueError(f"{path}: {name} holds what is no finite number: train or export the adapter again")
        if (magnitude := MAGNITUDE.fullmatch(name)) is not None and tensor.ndim == 1:
            magnitudes[magnitude["path"]] = tensor
            continue
        match = TENSOR.fullmatch(name)
        if match is None or tensor.ndim != 2:
            raise ValueError(f"{path}: {name} {list(tensor.shape)} is not a matrix A or B of a linear module's LoRA")
        by_path.setdefault(match["path"], {})[match["matrix"]] = tensor
    lone = [module for module, pair in by_path.items() if len(pair) != 2]
    if lone or not by_path:
        raise ValueError(f"{path}: a matrix A or B is missing of {first_five(lone) or 'every module'}")
    return {module: (pair["A"], pair["B"]) for module, pair in sorted(by_path.items())}, magnitudes
