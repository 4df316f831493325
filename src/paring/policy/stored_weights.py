"""Where each weight of a model stands in its files: under its name or another, or in parts that are put together."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, cast

from torch import Tensor
from transformers import PreTrainedModel

from paring.policy.sharding import Indivisible


class WeightFile(Protocol):
    """An open file of safetensors."""

    def keys(self) -> Iterable[str]: ...

    def get_slice(self, name: str) -> "_Slice": ...

    def get_tensor(self, name: str) -> Tensor: ...


class _Slice(Protocol):
    """A tensor of such a file, of which nothing is read yet."""

    def get_shape(self) -> list[int]: ...

    def __getitem__(self, rows: slice) -> Tensor: ...


class StoredWeight(Protocol):
    """A weight of which any rows can be read alone."""

    def check(self, name: str, shape: Sequence[int]) -> None:
        """Raises Indivisible where it has another shape."""
        ...

    def rows(self, start: int, end: int) -> Tensor: ...


@dataclass(frozen=True)
class OneTensor:
    """A tensor of a file."""

    file: WeightFile
    name: str

    def check(self, name: str, shape: Sequence[int]) -> None:
        if (own := self.file.get_slice(self.name).get_shape()) != list(shape):
            raise Indivisible(f"{name} is {own} in the files and {list(shape)} in the model")

    def rows(self, start: int, end: int) -> Tensor:
        if (start, end) == (0, (self.file.get_slice(self.name).get_shape() or [1])[0]):
            return self.file.get_tensor(self.name)
        return self.file.get_slice(self.name)[start:end]


@dataclass(frozen=True)
class Experts:
    """Experts that stand one by one in the files and in one weight of the model, an expert a row: the tensors of each,
    such as gate and up, and the operations of transformers by which some of them are put together."""

    files: Mapping[str, WeightFile]
    names: Mapping[str, Sequence[str]]
    """By pattern of transformers, in the order of the experts."""
    converter: "_Converter"

    def check(self, name: str, shape: Sequence[int]) -> None:
        counts = {len(names) for names in self.names.values()}
        if counts != {shape[0]}:
            raise Indivisible(f"{name} has {shape[0]} experts in the model, and {sorted(counts)} in the files")
        if (own := list(self.rows(0, 1).shape[1:])) != list(shape[1:]):
            raise Indivisible(f"an expert of {name} is {own} in the files and {list(shape[1:])} in the model")

    def rows(self, start: int, end: int) -> Tensor:
        patterns = {
            "source_patterns": self.converter.source_patterns,
            "target_patterns": self.converter.target_patterns,
        }
        made: dict[str, list[Tensor] | Tensor] = {
            pattern: [self.files[name].get_tensor(name) for name in names[start:end]]
            for pattern, names in self.names.items()
        }
        for operation in self.converter.operations:
            made = operation.convert(made, **patterns)
        [one] = made.values()
        assert isinstance(one, Tensor)
        return one


class _Operation(Protocol):
    dim: int

    def convert(
        self, tensors: dict[str, list[Tensor] | Tensor], *, source_patterns: list[str], target_patterns: list[str]
    ) -> dict[str, list[Tensor] | Tensor]: ...


class _Converter(Protocol):
    source_patterns: list[str]
    target_patterns: list[str]
    operations: list[_Operation]


def stored_weights(model: PreTrainedModel, files: Iterable[WeightFile]) -> dict[str, StoredWeight]:
    """The weights in the files by their names in the model, as transformers would read them. Those that it makes by
    other operations than stacking experts are left out."""
    place = {name: file for file in files for name in file.keys()}
    found: dict[str, StoredWeight] = {name: OneTensor(file, name) for name, file in place.items()}
    with suppress(ImportError):  # an older transformers: what stands under other names is missing then
        found |= _converted(model, place)
    return found


def _converted(model: PreTrainedModel, place: Mapping[str, WeightFile]) -> dict[str, StoredWeight]:
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

    mapping, state = get_model_conversion_mapping(model), model.state_dict()
    renamings = [one for one in mapping if isinstance(one, WeightRenaming)]
    converters = [one for one in mapping if isinstance(one, WeightConverter)]
    found: dict[str, StoredWeight] = {}
    sources: dict[str, dict[str, list[str]]] = {}
    for name in sorted(place, key=_with_numbers):
        target, pattern = rename_source_key(name, renamings, converters, model.base_model_prefix, state)
        if pattern is None:
            found[target] = OneTensor(place[name], name)
        else:
            sources.setdefault(target, {}).setdefault(pattern, []).append(name)
    for target, names in sources.items():
        made = next(one for one in converters if next(iter(names)) in one.source_patterns)
        converter = cast("_Converter", made)  # its type says less
        if _stacks_experts(converter):
            found[target] = Experts(place, names, converter)
    return found


def _stacks_experts(converter: _Converter) -> bool:
    """Whether it treats every expert alike: stacks them first, and joins what belongs to one afterwards."""
    from transformers.core_model_loading import Concatenate, MergeModulelist

    first, *others = converter.operations
    joins = all(isinstance(one, Concatenate) and one.dim > 0 for one in others)
    return isinstance(first, MergeModulelist) and first.dim == 0 and joins and len(converter.target_patterns) == 1


def _with_numbers(name: str) -> list[tuple[int, str]]:
    """By which expert 10 comes after expert 9."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in name.split(".")]
