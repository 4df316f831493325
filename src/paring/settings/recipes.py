"""Recipes: complete runs by name, as TOML, read as plain values and overridden by key=value."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from paring.settings.complaints import RENAMED, RecipeError

if TYPE_CHECKING:
    from paring.types import Json

LARGEST_FILE = 1 << 20
_PART = re.compile(r'(?:^|(?<=\.))(?:"([^"]+)"(?=\.|$)|([^.]*))')
FOLDER = Path(__file__).parents[1] / "recipes"
RECORD = "run.toml"
"""The resolved recipe in the folder of a run."""


def recipe_names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def recipe_text(name_or_path: str | Path) -> str:
    """A recipe as it is written, by its name or path, or by the folder of its run. Raises RecipeError."""
    is_shipped = str(name_or_path) in recipe_names()
    path = FOLDER / f"{name_or_path}.toml" if is_shipped else Path(name_or_path).expanduser()
    is_folder = path.is_dir()
    if is_folder:
        path = path / RECORD
    if not path.is_file():
        what = f"a folder that holds no run ({RECORD})" if is_folder else "no such recipe or file"
        raise RecipeError(str(name_or_path), [f"{what}; recipes: {', '.join(recipe_names())}"])
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise RecipeError(str(path), [f"more than {LARGEST_FILE:,} bytes: this is no recipe"])
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(str(path), [f"not UTF-8 text: {error}"]) from None


def read_recipe(name_or_path: str | Path) -> "dict[str, Json]":
    """The plain values of a recipe; those of a run's record by the names that settings have. Raises
    RecipeError."""
    try:
        data = toml_values(recipe_text(name_or_path))
    except RecipeError:
        raise
    except ValueError as error:
        raise RecipeError(str(name_or_path), [f"not readable as TOML: {error}"]) from None
    if is_record(name_or_path):
        for old, new in RENAMED.items():
            section, _, key = old.partition(".")
            held = data.get(section)
            if isinstance(held, dict) and key in held:
                held[new.partition(".")[2]] = held.pop(key)
    return data


def is_record(name_or_path: str | Path) -> bool:
    """Whether the recipe is that of a run, or the run's folder."""
    path = Path(name_or_path).expanduser()
    return path.name == RECORD or (path / RECORD).is_file()


def toml_values(text: str) -> "dict[str, Json]":
    """The values of a TOML text. Raises ValueError for whatever is none, is nested too deep or too long."""
    if len(text) > LARGEST_FILE:
        raise ValueError(f"more than {LARGEST_FILE:,} characters")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


def described() -> dict[str, str]:
    """Every recipe's name and description."""
    return {name: str(read_recipe(name).get("description", "")) for name in recipe_names()}


def parse_override(text: str) -> "tuple[str, Json]":
    """`rollout.group_size=4` -> the key and its TOML value, or a string where it is none. Raises RecipeError."""
    key, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not all(parts_of(key)):
        raise RecipeError("command line", [f"{text!r} is not of the form key=value, such as optimiser.lr=1e-4"])
    try:
        return key, toml_values(f"value = {value}")["value"]
    except ValueError:
        return key, value


def parts_of(key: str) -> list[str]:
    """`adapter.ranks."*.up_proj"` -> its three names: as in TOML, a name that has dots stands in quotes."""
    return [quoted or bare for quoted, bare in _PART.findall(key)]


def _quoted(name: str) -> str:
    return f'"{name}"' if "." in name else name


def override(data: "dict[str, Json]", key: str, value: "Json") -> None:
    """Set a dotted key in nested dicts, in place; a section given as a dict is merged into the one that is there."""
    if isinstance(value, dict):
        for name, item in value.items():
            override(data, f"{key}.{_quoted(name)}", item)
        return
    *sections, last = parts_of(key)
    for name in sections:
        section = data.setdefault(name, {})
        if not isinstance(section, dict):
            raise RecipeError("overrides", [f"{key}: {name} is a value, not a section"])
        data = section
    data[last] = value


def flattened(data: "Mapping[str, Json]", prefix: str = "") -> "dict[str, Json]":
    """Nested dicts as one of dotted keys, which `override` takes; those of `data` itself may be dotted already."""
    flat: dict[str, Json] = {}
    for name, value in data.items():
        key = f"{prefix}{_quoted(name) if prefix else name}"
        flat |= flattened(value, f"{key}.") if isinstance(value, dict) else {key: value}
    return flat


def changes(old: "Mapping[str, Json]", new: "Mapping[str, Json]") -> list[str]:
    """One line for each dotted key whose value is not the same, without the quotes of names: for reading alone."""
    before, after = ({key.replace('"', ""): value for key, value in flattened(data).items()} for data in (old, new))
    return [
        f"{key}: {before.get(key, 'not set')!r} -> {after.get(key, 'not set')!r}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]
