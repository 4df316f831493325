"""A base model and its tokenizer from the package, a folder, a GGUF file or the hub."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import field, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import torch
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from pydantic import Field
from transformers import (
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from paring.maths import compiled, products
from paring.policy.quantised import mend, quantised_options, stored_options
from paring.policy.sharding import Indivisible
from paring.policy.slices import load_in_parts
from paring.policy.stored_model import (
    ModelRefused,
    check_as_stored,
    check_files,
    configuration,
    in_words,
    plain_config,
)
from paring.policy.templates import Argument, Template
from paring.policy.tokenizer import TokenizerRefused, declare_ends, tokenizer_of
from paring.policy.tokens import check_tokenizer
from paring.policy.wrappers import is_wrapper, load_text_part, loaded_by, text_config
from paring.runtime.gpu import device_named, multiplies_bf16
from paring.runtime.memory import ask_for_large_pages
from paring.settings.declare import settings

HUB_SECONDS = 10
EMBEDDED = Path(__file__).parents[1] / "embedded"
SHIPPED = {"embedded": EMBEDDED, "embedded-chains": EMBEDDED.with_name("embedded-chains")}
DTYPES = {"float32": torch.float32, "tfloat32": torch.float32, "bfloat16": torch.bfloat16}
"""The type of the weights by the name of a precision."""
NEEDED = "a model is a config.json, a tokenizer and .safetensors files, or a .gguf file; pickled weights are not read"


@settings
class Model:
    """The base model. `path`: one that ships, a Hugging Face folder, a .gguf file, or a name on the hub. Two ship:
    "embedded", and "embedded-chains" for the harder tasks."""

    path: str = "embedded"
    dtype: Literal["auto", "float32", "tfloat32", "bfloat16"] = "auto"
    """The precision of the base. auto: float32 on a CPU, bfloat16 on a GPU that multiplies in it. tfloat32: weights in
    fp32, products of a GPU in TF32. A run writes down which it was."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    kernel: Literal["auto", "plain", "onednn", "mkl"] = "auto"
    """The library of a CPU's fp32 products with frozen weights (maths/products.py). auto: the fastest on this kind of
    CPU. A run writes down which it was, and keeps it when it is resumed elsewhere."""
    fused: Literal["auto", "torch", "compiled"] = "auto"
    """The operations of a CPU between the fp32 products of a layer: torch's, or fused ones in C, which an installation
    compiles where it can (maths/compiled.py). auto: compiled where they are there. A run writes down which it was."""
    quantisation: Literal["none", "4bit", "8bit"] = "none"
    """How bitsandbytes stores the frozen linear layers: NF4 with double quantisation, as in QLoRA (arXiv 2305.14314),
    or LLM.int8(). The adapters stay in fp32. Needs the extra `quantised`."""
    chat_template: str | None = None
    """A Jinja file, or the name of a template that ships (docs/data.md); by default the model's own."""
    template_arguments: dict[str, Argument] = field(default_factory=dict)
    """What the template may be told, such as `enable_thinking` or `date_string`."""
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$", description="such as 2024-07-26")] = "2024-07-26"
    """The day for templates that write today's, so that a run does not depend on when it is made. The default is the
    one that Llama's own templates fall back to."""

    def __post_init__(self) -> None:
        try:
            date.fromisoformat(self.date)
        except ValueError as error:
            raise ValueError(f"date = {self.date!r}: {error}; give one like 2024-07-26") from error

    @property
    def template(self) -> Template:
        return Template(self.chat_template, self.template_arguments, self.date)


def load_base(model: Model, *, divided: bool = False) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The frozen base on its device, in eval mode, and its tokenizer. `divided`: among the processes of the run, which
    read a part each (policy/sharding.py).

    A checkpoint that also sees or hears gives its text part (policy/wrappers.py). Only safetensors and GGUF are read
    (no pickle), and no code of a repository is run.
    Raises ValueError: nothing there or broken, not a causal language model, a tokenizer that does not fit, no such
    device."""
    ask_for_large_pages()
    model = resolved(model)
    source, options = _source(model.path)
    device = device_named(model.device)
    products.use(model.kernel)
    compiled.use(model.fused)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high" if model.dtype == "tfloat32" else "highest")
    quantised = quantised_options(model.quantisation, DTYPES[model.dtype], device)
    try:
        with without_bars():
            config = configuration(source, options)
            tokenizer = tokenizer_of(source, options, model.path, model.template)
            check_files(source, config, options)
            quantised = quantised or stored_options(config, device)
            whole = load_text_part if is_wrapper(config) else partial(loaded_by, AutoModelForCausalLM)
            load = partial(load_in_parts, config, device) if divided else partial(whole, config)
            base, missing = load(
                source,
                dtype=DTYPES[model.dtype],
                trust_remote_code=False,
                use_safetensors=True,
                **quantised,
                **options,
            )
            if not (quantised or divided):
                check_as_stored(base, source, options)
    except TokenizerRefused:
        raise
    except Indivisible as error:
        raise ValueError(f"model.path = {model.path!r}: {error}; set parallel.shard=none to train it whole") from error
    # Over a broken file the libraries raise what they like: SafetensorError, KeyError, even a bare Exception.
    except Exception as error:
        raise ValueError(_refusal(model, source, options, error)) from error
    if missing:
        # transformers would go on with random numbers in their place.
        names = ", ".join(sorted(missing)[:3])
        raise ValueError(
            f"model.path = {model.path!r}: {len(missing)} of its weights are missing ({names}, ...): "
            "fetch or write the model again"
        )
    try:
        check_tokenizer(tokenizer, base)
    except ValueError as error:
        raise ValueError(f"model.path = {model.path!r}: {error}") from error
    if quantised:
        mend(base, DTYPES[model.dtype])
    elif not divided:
        base.to(device)  # pyright: ignore[reportArgumentType]  transformers wraps it and loses its signature
    base.eval().requires_grad_(False)
    declare_ends(base, tokenizer)
    return base, tokenizer


def load_tokenizer(model: Model) -> PreTrainedTokenizerBase:
    """The tokenizer alone, with the chat template that the settings choose. Raises ValueError as `load_base`."""
    source, options = _source(model.path)
    try:
        return tokenizer_of(source, options, model.path, model.template)
    except TokenizerRefused:
        raise
    # As in load_base.
    except Exception as error:
        raise ValueError(_refusal(model, source, options, error)) from error


def resolved(model: Model) -> Model:
    """The model with what "auto" leaves to the machine named: precision, kernel, fused operations. Raises ValueError
    for a device that is not there, or one without this precision."""
    kernel = products.best_kernel() if model.kernel == "auto" else model.kernel
    fused = compiled.best_way() if model.fused == "auto" else model.fused
    return replace(model, dtype=precision(model, device_named(model.device).type), kernel=kernel, fused=fused)


def precision(model: Model, device: str) -> str:
    """The precision on a device of this type, "cpu" or "cuda". Raises ValueError where the device lacks it."""
    on_gpu = device == "cuda"
    has_units = on_gpu and multiplies_bf16()
    if model.dtype == "auto":
        return "bfloat16" if has_units else "float32"
    lacking = {"tfloat32", "bfloat16"} if on_gpu else {"tfloat32"}
    if model.dtype in lacking and not has_units:
        why = "this GPU has no matrix units for it" if on_gpu else "only a GPU multiplies in it"
        raise ValueError(f'model.dtype = "{model.dtype}": {why}; use "float32", or "auto" for the best that is there')
    return model.dtype


def read_config(model: Model) -> PreTrainedConfig:
    """The configuration alone, of a wrapper that of its text part: of a folder, its config.json is enough.

    Raises ValueError where there is none that transformers can read, or it is of no causal language model."""
    source, options = _source(model.path)
    try:
        config = configuration(source, options)
    # As in load_base.
    except Exception as error:
        raise ValueError(_refusal(model, source, options, error)) from error
    return text_config(config) if is_wrapper(config) else config


def base_name(path: str) -> str:
    """How an adapter's file names its base: an absolute folder where there is one, else the hub's name."""
    folder = SHIPPED.get(path) or Path(path).expanduser()
    return str(folder.resolve()) if folder.exists() else path


def _source(path: str) -> tuple[str, Mapping[str, str | bool]]:
    local = SHIPPED.get(path) or Path(path).expanduser()
    if local.suffix == ".gguf" and local.is_file():
        return str(local.parent), {"gguf_file": local.name}
    if local.is_file():
        raise ValueError(f"model.path = {path!r}: a file, and no .gguf: give a .gguf file, or the folder of a model")
    if local.is_dir():
        if not (local / "config.json").is_file():
            raise ValueError(f"model.path = {path!r}: there is no config.json in this folder ({NEEDED})")
        return str(local), {"local_files_only": True}
    below_a_folder = "/" in path and local.parent.is_dir()  # a slip in a local path, and no name on the hub
    is_local = local.is_absolute() or path.startswith((".", "~")) or "\\" in path
    if below_a_folder or is_local or path.count("/") > 1 or local.suffix == ".gguf":
        raise ValueError(
            f"model.path = {path!r}: there is no such folder or file. Give a Hugging Face folder, a .gguf file, a hub "
            f'name such as "HuggingFaceTB/SmolLM2-135M-Instruct", or one that ships: {", ".join(SHIPPED)}'
        )
    # Without a hub that answers, only what was fetched before counts; transformers would try for half a minute.
    try:
        HfApi().model_info(path, timeout=HUB_SECONDS)
    except (HfHubHTTPError, HFValidationError):
        pass  # it answered: transformers says in full what is wrong
    except Exception:  # no network: its kind depends on the version's HTTP library
        return path, {"local_files_only": True}
    return path, {}


@contextmanager
def without_bars() -> Iterator[None]:
    """Without transformers' bars over the weights, which end within seconds; downloads keep theirs."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _refusal(model: Model, source: str, options: Mapping[str, str | bool], error: Exception) -> str:
    sought = "" if Path(source).exists() else "there is no such folder, and the hub did not give it: "
    plain: Mapping[str, object] = {}
    with suppress(ValueError, OSError):
        plain = plain_config(source, options)
    needed = "" if isinstance(error, ModelRefused) else f" ({NEEDED})"
    return f"model.path = {model.path!r}: {sought}{in_words(error, plain)}{needed}"
