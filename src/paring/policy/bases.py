"""The base of an adapter: how the adapter's folder names it, and by what it is known again."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor
from transformers import PreTrainedModel

from paring.adapters.attach import adapters_of, parameters_by_name
from paring.adapters.targets import linear_modules
from paring.policy.loading import SHIPPED
from paring.policy.sharding import whole
from paring.runtime.text import one_line

FILE = "paring.json"
"""Beside adapter_config.json, in which PEFT would warn of keys that it does not know."""
OWN = "paring-"
"""Before the name of a model that ships. There is no owner in it, so that no stranger can hold that name on the hub."""
NUMBERS = 256
"""Numbers of each tensor, about, by which a base is known again."""
# What may differ from one version, precision or use of a base to the next without its function being another.
WITHOUT_EFFECT = (
    "_* *_token_id architectures dtype torch_dtype id2label label2id max_position_embeddings name_or_path output_* "
    "problem_type quantization_config return_dict transformers_version use_cache chunk_size_feed_forward"
).split()


def reference(path: str, folder: Path) -> str:
    """The name of the base `model.path` in the adapter folder `folder`: the hub's; paring-embedded of a model that
    ships; of any other folder or file its place relative to the adapter's folder."""
    local = Path(path).expanduser()
    for name, shipped in SHIPPED.items():
        if path == name or (local.exists() and local.resolve() == shipped.resolve()):
            return OWN + name
    if not local.exists():
        return path
    try:
        relative = Path(os.path.relpath(local.resolve(), folder.expanduser().resolve())).as_posix()
    except ValueError:
        return local.name  # on another drive of Windows
    return relative if relative.startswith(".") else f"./{relative}"


def referenced(name: str, folder: Path) -> str:
    """The inverse of `reference`: what `model.path` takes. Names of other tools, absolute folders among them, are left
    as they are, but for those of a model that ships with this package."""
    if (own := shipped_name(name)) is not None:
        return own
    if is_relative(name) and (folder / name).exists():
        return str((folder / name).resolve())
    parts = Path(name).parts
    if len(parts) > 2 and parts[-2] == "paring" and parts[-1] in SHIPPED and not Path(name).exists():
        return parts[-1]  # of an installation on another machine
    return name


def is_relative(name: str) -> bool:
    """Whether a reference is a place relative to the adapter's folder."""
    return name in (".", "..") or name.startswith(("./", "../"))


def shipped_name(name: str) -> str | None:
    """embedded, of paring-embedded: which of the models that ship a reference names; None of all others."""
    own = name.removeprefix(OWN)
    return own if own != name and own in SHIPPED else None


@dataclass(frozen=True)
class BaseIdentity:
    """By what a base is known again, whatever its files, its precision and the adapters on it.

    name      for people
    config    the settings of its configuration that its function depends on
    linear    digest of numbers from the weights of its linear layers; None where they are quantised
    others    digest of numbers from all other parameters
    """

    name: str
    config: Mapping[str, object]
    linear: str | None
    others: str

    @classmethod
    def of(cls, model: PreTrainedModel, name: str) -> "BaseIdentity":
        adapters, head = adapters_of(model), model.get_output_embeddings()
        own = {id(parameter) for parameter in parameters_by_name(adapters).values()}
        named = {name: one for name, one in model.named_parameters() if id(one) not in own}
        # Without the adapters, a base stands in their place.
        plain = {name.replace(".base.", "."): one for name, one in named.items()}
        linear = {
            f"{path}.weight" for path, module in linear_modules(model).items() if module is not head
        } & plain.keys()
        is_dense = all(plain[name].is_floating_point() for name in linear)
        settings = model.config.get_text_config().to_dict()
        return cls(
            name,
            {key: json.loads(json.dumps(value, default=str)) for key, value in settings.items() if _matters(key)},
            _digest({name: plain[name] for name in linear}) if is_dense else None,
            _digest({name: one for name, one in plain.items() if name not in linear}),
        )

    def write(self, folder: Path) -> None:
        """Into FILE of the folder of an adapter."""
        (folder / FILE).write_bytes(f"{json.dumps({'base': asdict(self)}, indent=2, sort_keys=True)}\n".encode())

    @classmethod
    def read(cls, folder: Path) -> "BaseIdentity | None":
        """The record of the base that the adapter in `folder` was trained on; None where there is none, as in folders
        that other tools wrote. Raises ValueError where the file is damaged."""
        path = folder / FILE
        if not path.is_file():
            return None
        try:
            return TypeAdapter(_Known).validate_json(path.read_bytes()).base
        except ValidationError as error:
            raise ValueError(f"{path}: damaged ({one_line(str(error), 200)}): remove it, or export again") from error

    def difference(self, other: "BaseIdentity") -> str | None:
        """The first thing in which two bases differ, in words; None where they are the same one."""
        for key in sorted(self.config.keys() & other.config.keys()):
            if self.config[key] != other.config[key]:
                return one_line(f"{key} = {self.config[key]} there, {other.config[key]} here", 200)
        if self.others != other.others or (self.linear and other.linear and self.linear != other.linear):
            return "its weights are other numbers"
        return None


@dataclass(frozen=True)
class _Known:
    """The content of FILE."""

    base: BaseIdentity


def check_base(model: PreTrainedModel, folder: Path, path: str, named: str | None) -> str | None:
    """Compare a model, `model.path`, with the base of the adapter in `folder`, which its config calls `named`. Where
    nothing but that name is known and it is another, a note comes back.

    Raises ValueError where the adapter was trained on another base."""
    here = reference(path, folder)
    if (known := BaseIdentity.read(folder)) is not None:
        if (difference := known.difference(BaseIdentity.of(model, here))) is not None:
            raise ValueError(
                f"{folder} is an adapter of another base model: it was trained on {one_line(known.name, 200)}, and "
                f"this is {here} ({difference}). Put it on its own base"
            )
        return None
    if named is None:
        return f"{folder} names no base model, so that nothing but its shapes says that it is one of {here}"
    there = referenced(named, folder)
    if there == path or Path(there).name.casefold() == Path(path).name.casefold():
        return None
    return (
        f"{folder} names another base model, {one_line(named, 200)}, and this is {here}: its shapes fit, and nothing "
        "else is known of it"
    )


def _matters(key: str) -> bool:
    return not any(fnmatch(key, pattern) for pattern in WITHOUT_EFFECT)


@torch.no_grad()
def _digest(tensors: Mapping[str, Tensor]) -> str:
    """A digest of names, shapes and evenly spaced numbers. They are rounded to bf16, which hides the precision. Where a
    base is divided among processes, they compute it together."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        numbers = whole(tensor.detach()).reshape(-1)[:: max(1, tensor.numel() // NUMBERS)]
        digest.update(f"{name} {list(tensor.shape)} ".encode())
        digest.update(numbers.to("cpu", torch.bfloat16).view(torch.int16).numpy().tobytes())
    return digest.hexdigest()
