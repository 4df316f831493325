"""A study as data: what is asked, the arms that are compared, and over which settings and seeds."""

import json
import re
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import tomli_w
from pydantic import Field, Strict, TypeAdapter, ValidationError

from paring.settings.complaints import RecipeError, complaints
from paring.settings.declare import CountOrZero, settings
from paring.settings.recipes import flattened, read_recipe

Seeds = Annotated[tuple[CountOrZero, ...], Strict(False), Field(min_length=1)]
Values = Annotated[tuple[Any, ...], Strict(False), Field(min_length=1)]
Settings = dict[str, Any]
"""Dotted keys of a run and their values; sections may be nested as in a recipe."""

ARM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


@settings
class Tune:
    """The `tune` section: for each arm and setting, the value of `key` with the best mean accuracy on the validation
    split over `seeds` is chosen before the final seeds run."""

    key: str = "optimiser.lr"
    values: Values
    seeds: Seeds = (0,)


@settings
class Study:
    """Everything that determines a study: a run for each arm, combination of axis values, and seed.

    A run is the recipe with, in this order, `common`, the arm, the axes, the tuned value and `overrides` laid over it.
    A layer that names the kind of a section (`objective.kind`, `adapter.kind`, `task.name`) starts that section anew,
    so that no arm inherits a setting which the recipe made for another kind."""

    name: str = ""
    question: str = ""
    recipe: str = ""
    """Name or file, unless it is one of the axes."""
    seeds: Seeds
    common: Settings = Field(default_factory=dict)
    arms: Annotated[dict[str, Settings], Field(min_length=1)]
    axes: dict[str, Values] = Field(default_factory=dict)
    tune: Tune | None = None
    overrides: Settings = Field(default_factory=dict)
    """What the command line says of every run."""
    recipes: dict[str, Settings] = Field(default_factory=dict)
    """Recipes of the study's own, by name; a study that was started holds all of its recipes here."""


def load_study(path: str | Path, overrides: Settings | None = None) -> Study:
    """A study from a TOML file, or from the folder of one that was started. Raises RecipeError with all its faults."""
    file = Path(path).expanduser()
    file = file / "study.toml" if file.is_dir() else file
    if not file.is_file():
        raise RecipeError(
            str(path), ["no such study: give a TOML file, or the folder of a study (see docs/studies.md)"]
        )
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise RecipeError(str(path), [f"not readable as TOML: {error}"]) from None
    for section in ("common", "axes", "overrides"):
        data[section] = _flat(data.get(section, {}))
    if isinstance(data.get("arms"), dict):
        data["arms"] = {arm: _flat(changes) for arm, changes in data["arms"].items()}
    if isinstance(data["overrides"], dict):
        data["overrides"] |= _flat(overrides or {})
    data["name"] = data.get("name") or file.resolve().stem
    try:
        study = TypeAdapter(Study).validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        raise RecipeError(str(path), complaints(error, data, Study)) from None
    if faults := [*_faults(study)]:
        raise RecipeError(str(path), faults)
    return study


def recipe_of(study: Study, name: str) -> dict[str, Any]:
    """The plain values of a recipe of the study's own, or of a shipped one or file. Raises RecipeError."""
    return study.recipes[name] if name in study.recipes else read_recipe(name)


def recipe_names(study: Study) -> tuple[str, ...]:
    """The recipes that the runs start from."""
    return tuple(study.axes.get("recipe", (study.recipe,)))


def resolved(study: Study) -> dict[str, Any]:
    """The study as plain values, with the recipes as they are now: enough to make it again, and to see that a recipe
    has changed."""
    plain = {key: value for key, value in asdict(study).items() if value not in (None, "", {})}
    return _as_json(plain | {"recipes": {name: recipe_of(study, name) for name in recipe_names(study)}})


def to_toml(study: Study) -> str:
    return tomli_w.dumps(resolved(study))


def _faults(study: Study) -> list[str]:
    """What the types cannot say."""
    faults = [
        f"arms.{arm}: a name is of letters, digits and . _ + -, since it names a folder"
        for arm in study.arms
        if not ARM.fullmatch(arm)
    ]
    if bool(study.recipe) == ("recipe" in study.axes):
        faults.append('recipe: say one, such as "quickstart", or name several in [axes]; one of the two')
    repeated = {"seeds": study.seeds} | {f"axes.{key}": values for key, values in study.axes.items()}
    if study.tune:
        repeated |= {"tune.values": study.tune.values, "tune.seeds": study.tune.seeds}
    faults += [
        f"{key} = {list(values)}: one of them stands twice" for key, values in repeated.items() if _twice(values)
    ]
    layers = {"common": study.common, "overrides": study.overrides}
    layers |= {f"arms.{arm}": changes for arm, changes in study.arms.items()}
    if "seed" in study.axes:
        faults.append("axes.seed: say it in seeds")
    decided = {"seed": "seeds"} | dict.fromkeys(study.axes, "axes")
    if study.tune:
        decided[study.tune.key] = "tune"
        if study.tune.key in study.axes:
            faults.append(f"tune.key = {study.tune.key!r}: it is one of the axes already")
    faults += [
        f"{layer}.{key}: [{decided[key]}] decides that" if key != "seed" else f"{layer}.seed: say it in seeds"
        for layer, changes in layers.items()
        for key in changes
        if key in decided
    ]
    return faults


def _twice(values: tuple[Any, ...]) -> bool:
    return any(value in values[:place] for place, value in enumerate(values))


def _flat(section: Any) -> Any:
    return flattened(section) if isinstance(section, dict) else section


def _as_json(value: Any) -> Any:
    """Lists for tuples, as TOML reads them back."""
    return json.loads(json.dumps(value, default=str))
