"""Checkpoints that also see or hear (ConditionalGeneration): their text part as a causal language model of its own."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    GenerationMixin,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
)

from paring.runtime.text import count_words, one_line

WRAPPERS = {**MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES, **MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES}
"""Model type -> class of the models that answer to text with more than text."""
Loader = type[AutoModelForCausalLM] | type[AutoModelForMultimodalLM] | type[AutoModelForImageTextToText]
"""A class of transformers that knows the right model for a configuration."""
TOKENS = 4
"""On which the text part is compared with the whole."""


class TextPart(PreTrainedModel, GenerationMixin):
    """A decoder and a head, for families of which transformers has no causal language model (Qwen2-VL, GLM-4V, ...)."""

    base_model_prefix = "model"

    def __init__(self, decoder: PreTrainedModel, head: nn.Module) -> None:
        super().__init__(decoder.config)
        self.model = decoder
        self.lm_head = head

    def forward(self, input_ids: Tensor | None = None, **given: object) -> CausalLMOutputWithPast:
        out = self.model(input_ids=input_ids, **given)
        return CausalLMOutputWithPast(
            logits=self.lm_head(out.last_hidden_state), past_key_values=out.get("past_key_values")
        )


@dataclass(frozen=True)
class Wrapper:
    """What a text part was loaded from, and by which options of transformers. `places`: path of its decoder and of its
    head -> in the wrapper, as in {"model": "model.language_model", "lm_head": "lm_head"}."""

    kind: type[PreTrainedModel]
    config: PreTrainedConfig
    places: Mapping[str, str]
    source: str
    options: Mapping[str, object]

    @classmethod
    def of(
        cls, wrapper: PreTrainedModel, text: PreTrainedModel, source: str, options: Mapping[str, object]
    ) -> "Wrapper":
        within = {id(module): path for path, module in wrapper.named_modules()}
        inner = {id(module): path for path, module in text.named_modules()}
        places = {inner[id(part)]: within[id(part)] for part in _parts(wrapper)}
        return cls(type(wrapper), wrapper.config, places, source, options)

    def load(self) -> PreTrainedModel:
        """The whole once more, with all of its weights, on the CPU."""
        return class_of(self.config).from_pretrained(self.source, **self.options)

    def around(self, text: PreTrainedModel) -> PreTrainedModel:
        """The wrapper with the modules of its text part; all others are on the meta device."""
        with torch.device("meta"):
            wrapper = self.kind(self.config).eval()
        _pass_on_quantisation(text, wrapper)
        return self.put_into(wrapper, text)

    def put_into(self, wrapper: PreTrainedModel, text: PreTrainedModel) -> PreTrainedModel:
        """The wrapper, whose text part is `text` from now on."""
        for own, place in self.places.items():
            wrapper.set_submodule(place, text.get_submodule(own))
        return wrapper


_wrappers: WeakKeyDictionary[PreTrainedModel, Wrapper] = WeakKeyDictionary()
"""By text part."""


def wrapper_of(model: nn.Module) -> Wrapper | None:
    """What a text part was loaded from; None of a model that was a causal language model on disk."""
    return _wrappers.get(model) if isinstance(model, PreTrainedModel) else None


def path_in_checkpoint(model: nn.Module, path: str) -> str:
    """The path of a module in the model that its checkpoint holds: in the wrapper, where there is one."""
    wrapper = wrapper_of(model)
    return path if wrapper is None else _moved(path, wrapper.places)


def path_in_model(model: nn.Module, path: str) -> str:
    """The inverse of `path_in_checkpoint`; a path that is one of the model's already stays."""
    wrapper = wrapper_of(model)
    return path if wrapper is None else _moved(path, {place: own for own, place in wrapper.places.items()})


def _moved(path: str, places: Mapping[str, str]) -> str:
    """The path with the longest of the `places` that it lies in exchanged."""
    for place in sorted(places, key=len, reverse=True):
        if not place or path == place or path.startswith(f"{place}."):
            below = path.removeprefix(place).removeprefix(".")
            return f"{places[place]}.{below}".strip(".")
    return path


def loader_of(model: PreTrainedModel, *, merged: bool = False) -> str:
    """The class of transformers that loads the base of a model's adapters, or what is `merged` of both."""
    wrapper = wrapper_of(model)
    if wrapper is None or (merged and not isinstance(model, TextPart)):
        return "AutoModelForCausalLM"
    return class_of(wrapper.config).__name__


def is_wrapper(config: PreTrainedConfig) -> bool:
    """Whether a checkpoint is a model around a decoder that reads text, and names itself so."""
    named = config.architectures or []
    kind = WRAPPERS.get(config.model_type)
    around = kind is not None and (
        kind in named or (not named and config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    )
    return around and not config.is_encoder_decoder and config.get_text_config() is not config


def load_text_part(config: PreTrainedConfig, source: str, **options: object) -> tuple[PreTrainedModel, set[str]]:
    """The text part of a wrapper's checkpoint, and the names of its weights that are missing.

    transformers loads the whole, so that it maps the names and forms of all weights; the rest is dropped at once.
    Raises ValueError where the two do not give the same logits."""
    wrapper, lacking = loaded_by(class_of(config), config, source, **options)
    decoder, head = _parts(wrapper)
    places = tuple(f"{path}." for path, module in wrapper.named_modules() if module is decoder or module is head)
    model = _joined(wrapper)
    _wrappers[model] = Wrapper.of(wrapper, model, source, options | {"config": config})
    if missing := {name for name in lacking if name.startswith(places)}:
        return model, missing
    token_BN = torch.arange(TOKENS, device=wrapper.device)[None]
    with torch.no_grad():
        whole, alone = (one.eval()(input_ids=token_BN).logits.float() for one in (wrapper, model))
    if not (whole - alone).abs().max() <= 1e-2 * whole.abs().max():
        raise ValueError(
            f"the text part of {type(wrapper).__name__} alone gives other logits than the "
            "whole: the two read their caps or scales of logits otherwise; choose a text model"
        )
    return model, set()


def loaded_by(
    kind: Loader, config: PreTrainedConfig, source: str, **options: object
) -> tuple[PreTrainedModel, set[str]]:
    """The model that a class of transformers loads with this configuration, and the names of missing weights. It
    warns of weights without a place. Raises ValueError where weights have other shapes than the configuration says."""
    given = {"config": config, "output_loading_info": True, "ignore_mismatched_sizes": True, **options}
    # With output_loading_info there are two, which transformers' hints leave out.
    model, loaded = cast("tuple[PreTrainedModel, Mapping[str, set[str]]]", kind.from_pretrained(source, **given))
    if other := sorted(cast("set[tuple[str, Sequence[int], Sequence[int]]]", loaded["mismatched_keys"])):
        name, stored, expected = other[0]
        raise ValueError(
            f"{len(other)} of its weights have other shapes than its config.json says: {name} is {list(stored)} in the "
            f"files and {list(expected)} by the configuration, ..."
        )
    if unused := sorted(loaded["unexpected_keys"]):
        what = f"the model that {source}'s config.json describes has no place for {count_words(len(unused), 'weight')}"
        warnings.warn(f"{what} of its files, such as {one_line(unused[0], 100)}: left out", stacklevel=2)
    return model, set(loaded["missing_keys"])


def text_config(config: PreTrainedConfig) -> PreTrainedConfig:
    """The configuration of the text part, which says as the wrapper's does whether the head is the embedding."""
    text = config.get_text_config()
    own = getattr(text, "tie_word_embeddings", False)
    text.tie_word_embeddings = getattr(config, "tie_word_embeddings", own)
    return text


def unweighted(config: PreTrainedConfig) -> PreTrainedModel:
    """The causal language model of a text configuration, without weights: made where torch's default device is."""
    if config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    decoder = AutoModel.from_config(config, trust_remote_code=False)
    head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
    if config.tie_word_embeddings:
        head.weight = decoder.get_input_embeddings().weight
    return _text_part(decoder, head)


def class_of(config: PreTrainedConfig) -> Loader:
    """The class of transformers that loads the whole of a wrapper."""
    is_multimodal = config.model_type in MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES
    return AutoModelForMultimodalLM if is_multimodal else AutoModelForImageTextToText


def _parts(wrapper: PreTrainedModel) -> tuple[PreTrainedModel, nn.Module]:
    decoder = cast("PreTrainedModel", wrapper.get_decoder())
    head = wrapper.get_output_embeddings()
    if head is None or decoder.config is not wrapper.config.get_text_config():
        raise ValueError(f"the text part of {type(wrapper).__name__} cannot be told from the rest: choose a text model")
    return decoder, head


def _joined(wrapper: PreTrainedModel) -> PreTrainedModel:
    decoder, head = _parts(wrapper)
    config = decoder.config
    kind = cast("type[PreTrainedModel] | None", MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None))
    if kind is not None and isinstance(decoder, kind):
        return decoder
    if kind is None:
        model = _text_part(decoder, head)
    else:
        with torch.device("meta"):
            model = kind(config)
        place = next(name for name, child in model.named_children() if type(child) is type(decoder))
        setattr(model, place, decoder)
        model.set_output_embeddings(head)
    embedding = decoder.get_input_embeddings()
    config.tie_word_embeddings = getattr(head, "weight", None) is getattr(embedding, "weight", head)
    model.generation_config = wrapper.generation_config
    _pass_on_quantisation(wrapper, model)
    return model


def _pass_on_quantisation(one: PreTrainedModel, other: PreTrainedModel) -> None:
    for name in ("hf_quantizer", "quantization_method", "is_quantized", "is_loaded_in_4bit", "is_loaded_in_8bit"):
        if name in vars(one):
            setattr(other, name, vars(one)[name])


def _text_part(decoder: PreTrainedModel, head: nn.Module) -> TextPart:
    """One class for each family, whose base and module tell transformers which attention it can have."""
    kind = type(decoder)
    family = next(one for one in kind.__mro__ if one.__name__.endswith("PreTrainedModel"))
    name = f"{kind.__name__.removesuffix('Model')}ForCausalLM"
    return type(name, (TextPart, family), {"__module__": kind.__module__})(decoder, head)
