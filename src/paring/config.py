"""A run as data: collects the settings of every room, and reads recipes with their overrides."""

import json
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import tomli_w
from pydantic import Field, TypeAdapter, ValidationError

from paring.adapters.attach import Lora
from paring.complaints import RecipeError, complaints
from paring.evaluation import Evaluate
from paring.maths.objectives import Objective, Rgra
from paring.policy.loading import Model
from paring.rollout.engine import Rollout
from paring.settings import Count, CountOrZero, settings
from paring.tasks.arithmetic import Arithmetic
from paring.tasks.gsm8k import Gsm8k
from paring.tasks.questions import Questions
from paring.tasks.sums_products import SumsAndProducts
from paring.training.folder import Save
from paring.training.optim import Adam

RECIPES = Path(__file__).parent / "recipes"
AnyTask = Annotated[Arithmetic | SumsAndProducts | Gsm8k | Questions, Field(discriminator="name")]


@settings
class Run:
    """Everything that determines a run. Same run, versions and thread count: same bytes on the CPU."""

    description: str = ""
    seed: CountOrZero = 0
    steps: Count
    threads: CountOrZero = 0
    """Threads of the matrix library; 0 leaves it to torch."""
    model: Model = Model()
    task: AnyTask
    rollout: Rollout
    objective: Objective = Rgra()
    adapter: Lora = Lora()
    optimiser: Adam = Adam()
    evaluate: Evaluate = Evaluate()
    save: Save = Save()


def load_run(name_or_path: str | Path, **overrides: Any) -> Run:
    """A shipped recipe by name, or a TOML file, with overrides: `load_run("quickstart", seed=1,
    rollout={"group_size": 4})`, or with dotted names, `**{"rollout.group_size": 4}`.

    Raises RecipeError (a ValueError) that lists everything wrong at once."""
    data = read_recipe(name_or_path)
    for key, value in overrides.items():
        _set(data, key.split("."), value)
    return validate(data, source=str(name_or_path))


def validate(data: dict[str, Any], *, source: str) -> Run:
    """A run from nested plain values. Raises RecipeError."""
    try:
        # By way of JSON: there, strict types take an object for a settings class and an array for a tuple.
        return TypeAdapter(Run).validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        raise RecipeError(source, complaints(error, data, Run)) from None


def read_recipe(name_or_path: str | Path) -> dict[str, Any]:
    """The plain values of a shipped recipe or a TOML file. Raises RecipeError."""
    path = recipe_path(name_or_path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(str(path), [f"not readable as TOML: {error}"]) from None


def recipe_path(name_or_path: str | Path) -> Path:
    """The file of a recipe given by name or path. Raises RecipeError that lists the names there are."""
    named = RECIPES / f"{name_or_path}.toml"
    if named.parent == RECIPES and named.is_file():
        return named
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        path = path / "run.toml"
    if path.is_file():
        return path
    raise RecipeError(str(name_or_path), [f"no such recipe or file; recipes: {', '.join(recipe_names())}"])


def recipe_names() -> list[str]:
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def parse_override(text: str) -> tuple[str, Any]:
    """`rollout.group_size=4` -> the key and its TOML value; what is no TOML value is a string."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise RecipeError("command line", [f"{text!r} is not of the form key=value, such as optimiser.lr=1e-4"])
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def to_toml(run: Run) -> str:
    """The resolved run; reading it back gives an equal one."""
    return tomli_w.dumps(as_plain(run))


def as_plain(run: Run) -> dict[str, Any]:
    """Nested plain values, without those that are None."""
    return _plain(asdict(run))


def differences(old: Run, new: Run) -> list[str]:
    """One line for each setting that is not the same."""
    before, after = _flat(as_plain(old)), _flat(as_plain(new))
    return [
        f"{key}: {before.get(key, 'not set')!r} -> {after.get(key, 'not set')!r}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _flat(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in data.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _set(data: dict[str, Any], keys: list[str], value: Any) -> None:
    """Put a value into nested dicts, in place; a whole section given as a dict is merged into what is there."""
    *sections, last = keys
    for section in sections:
        inner = data.setdefault(section, {})
        if not isinstance(inner, dict):
            raise RecipeError("overrides", [f"{'.'.join(keys)}: {section} is a value, not a section"])
        data = inner
    if isinstance(value, dict):
        for key, item in value.items():
            _set(data, [last, key], item)
    else:
        data[last] = value
