"""A model's configuration and files, checked before anything is built of them."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import cast

import torch
import transformers
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils.hub import cached_file

from paring.policy.wrappers import class_of, is_wrapper
from paring.runtime.text import one_line

CONFIG, GENERATION = "config.json", "generation_config.json"
ONE, INDEX = "model.safetensors", "model.safetensors.index.json"
"""The weights in one file, or the list of several."""
MOST_PARTS = 10_000
"""Layers, or experts of a layer: more would be built for hours, and no model has them."""
PARTS = re.compile(r"(^|_)(layers?|blocks|experts|depth)$")
SIZES = frozenset({"hidden_size", "n_embd", "d_model", "vocab_size"} | {"num_hidden_layers", "n_layer", "n_layers"})
"""Settings that are at least 1 in every model."""
COUNTS = frozenset(
    {"num_attention_heads", "n_head", "n_heads", "num_key_value_heads", "head_dim", "intermediate_size"}
    | {"max_position_embeddings", "n_positions", *SIZES}
)
"""Settings that are never below 0."""
NUMBERS = frozenset({"F64", "F32", "F16", "BF16"})
"""The types of safetensors in which weights are numbers, and not codes of numbers."""
SPARE, PACKED = 4, 16
"""How many times as many parameters as numbers in its files a model may have before it is built, and how many of them
one number of a quantised checkpoint may stand for."""
COMPARED_ROWS = 4
LONGEST_REASON = 300


class ModelRefused(ValueError):
    """A configuration or files that no model can have. The message says what to change."""


def configuration(source: str, options: Mapping[str, str | bool]) -> PreTrainedConfig:
    """The configuration of a model. What it says of how attention and experts are computed does not act: a name there
    may be that of code on the hub.

    Raises ModelRefused for one that no model can have, that transformers does not take, or of another kind of model."""
    plain = plain_config(source, options)
    _check_config(plain)
    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=False, **options)
    except Exception as error:
        raise ModelRefused(f"{CONFIG}: {in_words(error, plain)}") from error
    _check_causal(config)
    config._attn_implementation = config._experts_implementation = None
    return config


def plain_config(source: str, options: Mapping[str, str | bool]) -> Mapping[str, object]:
    """The configuration as it is written; empty where there is none, as beside a GGUF file. Raises ModelRefused."""
    return _object_in(CONFIG, source, options)


def _object_in(name: str, source: str, options: Mapping[str, str | bool]) -> Mapping[str, object]:
    found = None if "gguf_file" in options else _find(source, name, local=_is_local(options))
    if found is None:
        return {}
    try:
        plain = json.loads(Path(found).read_bytes())
    except (ValueError, RecursionError) as error:
        raise ModelRefused(f"{name} is no JSON ({one_line(str(error), LONGEST_REASON)}): fetch it again") from error
    if not isinstance(plain, dict):
        raise ModelRefused(f"{name} is no object of JSON, but {one_line(json.dumps(plain), 40)}: fetch it again")
    return plain


def check_files(source: str, config: PreTrainedConfig, options: Mapping[str, str | bool]) -> None:
    """Raises ModelRefused for weights that cannot be read, that are no numbers, or that are far fewer than the model of
    this configuration has, and for settings of generation that are no JSON. Files of another kind than safetensors are
    left to transformers."""
    _object_in(GENERATION, source, options)
    files = [] if "gguf_file" in options else weight_files(source, local=_is_local(options))
    if not files:
        return
    is_quantised = getattr(config, "quantization_config", None) is not None
    numbers = sum(_numbers(file, all_types=is_quantised) for file in files)
    needed = _parameters(config)
    if needed > numbers * SPARE * (PACKED if is_quantised else 1):
        raise ModelRefused(
            f"{CONFIG} describes a model of {needed:,} parameters, and its files hold {numbers:,}: they do not belong "
            "together"
        )


def check_as_stored(model: PreTrainedModel, source: str, options: Mapping[str, str | bool]) -> None:
    """Raises ModelRefused where transformers has changed weights while it loaded them, as it does with Mamba's where
    `rescale_prenorm_residual` is set: other programs would load another model. The first rows of each weight that
    stands in the files under its own name are compared."""
    parameters, changed = dict(model.named_parameters()), []
    for file in [] if "gguf_file" in options else weight_files(source, local=_is_local(options)):
        with safe_open(file, framework="pt") as opened:
            for name in parameters.keys() & set(opened.keys()):
                own, stored = parameters[name], opened.get_slice(name)
                if own.dim() and list(own.shape) == list(stored.get_shape()):
                    first = stored[:COMPARED_ROWS].to(own.dtype)
                    same = torch.allclose(first, own[:COMPARED_ROWS].cpu(), rtol=0, atol=0, equal_nan=True)
                    changed += [] if same else [name]
    if changed:
        remedy = "rescale_prenorm_residual"
        hint = f"; set {remedy} = false in {CONFIG}" if getattr(model.config, remedy, False) else ""
        raise ModelRefused(
            f"transformers {transformers.__version__} changes {len(changed)} weights while it loads them "
            f"({min(changed)}, ...), so that other programs would load another model{hint}"
        )


def weight_files(source: str, *, local: bool) -> list[str]:
    """The files of the weights; of a name on the hub they are fetched. Empty where there are no safetensors. Raises
    ModelRefused."""
    if (one := _find(source, ONE, local=local)) is not None:
        return [one]
    if (index := _find(source, INDEX, local=local)) is None:
        return []
    names = sorted(set(_placed(Path(index)).values()))
    for name in names:
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts or "\\" in name or place.suffix != ".safetensors":
            raise ModelRefused(f"{INDEX} names {one_line(name, 100)!r}, which is no .safetensors file of this folder")
    found = [_find(source, name, local=local) for name in names]
    if missing := [name for name, file in zip(names, found, strict=True) if file is None]:
        raise ModelRefused(
            f"{len(missing)} of the {len(names)} files that {INDEX} names are not there: {missing[0]}, ..."
        )
    return [file for file in found if file is not None]


def in_words(error: Exception, plain: Mapping[str, object] | None = None) -> str:
    """An error of transformers over a model, in one line; with the setting of its configuration whose value it did not
    find."""
    cause = error.__cause__ if type(error).__name__.startswith("StrictDataclass") and error.__cause__ else error
    words = one_line(str(cause).strip().split("\n")[0], LONGEST_REASON)
    if cause is not error or isinstance(cause, OSError | ValueError):
        return words
    words = f"{type(cause).__name__}: {words}"
    if isinstance(cause, KeyError | AttributeError):
        for name, value in _settings(plain or {}):
            if isinstance(value, str) and value and f"'{value}'" in words:
                return f"{CONFIG} has {name} = {one_line(value, 60)!r}, which transformers does not know ({words})"
    return words


def _check_config(plain: Mapping[str, object]) -> None:
    for name, value in _settings(plain):
        last = name.rpartition(".")[2]
        if not isinstance(value, int) or isinstance(value, bool):
            continue
        least = 1 if last in SIZES else 0 if last in COUNTS else None
        if least is not None and value < least:
            raise ModelRefused(f"{CONFIG} has {name} = {value}: at least {least}")
        if value > MOST_PARTS and PARTS.search(last):
            raise ModelRefused(f"{CONFIG} has {name} = {value}: at most {MOST_PARTS:,}")
    named = plain.get("architectures")
    if named is not None and not (isinstance(named, list) and all(isinstance(one, str) for one in named)):
        raise ModelRefused(f"{CONFIG} has architectures = {one_line(json.dumps(named), 60)}: a list of names")


def _check_causal(config: PreTrainedConfig) -> None:
    named = config.architectures or []
    is_causal = config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    if named:
        is_causal &= not set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()).isdisjoint(named)
    if not (is_causal or is_wrapper(config)):
        raise ModelRefused(f"{', '.join(named) or config.model_type} is no causal language model, and only such answer")


def _settings(plain: Mapping[str, object], path: str = "") -> Iterator[tuple[str, object]]:
    """Each setting with its path: text_config.hidden_size."""
    for name, value in plain.items():
        if isinstance(value, dict):
            yield from _settings(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def _is_local(options: Mapping[str, str | bool]) -> bool:
    """Whether nothing is fetched from the hub."""
    return bool(options.get("local_files_only", False))


def _find(source: str, name: str, *, local: bool) -> str | None:
    """A file of a folder, or of a name on the hub, which is fetched; None where there is none."""
    if (folder := Path(source)).is_dir():
        return str(folder / name) if (folder / name).is_file() else None
    return cached_file(source, name, local_files_only=local, _raise_exceptions_for_missing_entries=False)


def _placed(index: Path) -> dict[str, str]:
    """By the name of each weight the file that holds it."""
    try:
        read = json.loads(index.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ModelRefused(f"{INDEX} is no JSON ({one_line(str(error), LONGEST_REASON)}): fetch it again") from error
    places, about = (read.get(key) if isinstance(read, dict) else None for key in ("weight_map", "metadata"))
    if not isinstance(places, dict) or not places or not all(isinstance(name, str) for name in places.values()):
        raise ModelRefused(f'{INDEX} has no "weight_map" from the names of weights to those of files')
    if not isinstance(about, dict):
        raise ModelRefused(f'{INDEX} has no "metadata", which transformers reads: add "metadata": {{}}')
    return places


def _numbers(file: str, *, all_types: bool) -> int:
    """How many a file holds. Raises ModelRefused where it is damaged, or holds matrices of another type."""
    name = Path(file).name
    try:
        with safe_open(file, framework="pt") as opened:
            slices = {weight: opened.get_slice(weight) for weight in opened.keys()}
    except (SafetensorError, OSError) as error:
        words = one_line(str(error), LONGEST_REASON)
        raise ModelRefused(f"{name} is damaged ({words}): fetch or write it again") from error
    count = 0
    for weight, one in slices.items():
        shape = cast("Sequence[int]", one.get_shape())
        if not all_types and len(shape) > 1 and weight.endswith("weight") and one.get_dtype() not in NUMBERS:
            raise ModelRefused(
                f"{name} holds {one_line(weight, 100)} as {one.get_dtype()}, and {CONFIG} has no quantization_config "
                "that says what it stands for: convert the model to bfloat16 with the tool that quantised it"
            )
        count += torch.Size(shape).numel()
    return count


def _parameters(config: PreTrainedConfig) -> int:
    """How many parameters a model of this configuration has; 0 where transformers cannot tell without weights."""
    kind = class_of(config) if is_wrapper(config) else AutoModelForCausalLM
    try:
        with torch.device("meta"):
            model = cast("PreTrainedModel", partial(kind.from_config, trust_remote_code=False)(config))
    except Exception:  # code of any architecture; loading shows what is wrong with it
        return 0
    return sum(parameter.numel() for parameter in model.parameters())
