"""A study as data: its question, the arms that are compared, and over which settings and seeds."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import tomli_w
from pydantic import Field, Strict, TypeAdapter, ValidationError

from paring.settings.complaints import RecipeError, complaints
from paring.settings.declare import settings
from paring.settings.recipes import flattened, read_recipe, toml_values
from paring.study.tuning import Search, Seeds, Settings, Tune, Values
from paring.types import Json

Arms = Annotated[tuple[str, ...], Strict(False), Field(min_length=1)]
FOLDER = Path(__file__).parents[1] / "studies"
ARM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


@settings
class DeclaredContrast:
    """One of `contrasts`: the mean over the arms `more`, less that over the arms `less`, at each combination of axis
    values, or only where they are as `at` says. Declared contrasts are the tests of a study; the rest describes it.

    interaction  the two halves are summed and not averaged: of four arms a, b, c, d, (a - b) - (c - d) has
                 more = [a, d] and less = [b, c]
    margin       in points: also whether the difference is shown to lie within -margin to margin"""

    more: Arms
    less: Arms
    at: Settings = Field(default_factory=dict)
    interaction: bool = False
    margin: Annotated[float, Field(gt=0, lt=100)] | None = None


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
    baseline: str = ""
    """The arm that the report compares the others with; by default the first."""
    axes: dict[str, Values] = Field(default_factory=dict)
    tune: Annotated[Tune | Search, Field(discriminator="kind")] | None = None
    contrasts: dict[str, DeclaredContrast] = Field(default_factory=dict)
    overrides: Settings = Field(default_factory=dict)
    """Settings of every run from the command line."""
    recipes: dict[str, Settings] = Field(default_factory=dict)
    """Recipes of the study's own, by name; a study that was started holds all of its recipes here."""


def study_names() -> list[str]:
    """The studies that ship."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def study_file(study: str | Path) -> Path:
    """The file of a study given by its name, its file, or the folder of one that was started. Raises RecipeError."""
    if str(study) in study_names():
        return FOLDER / f"{study}.toml"
    file = Path(study).expanduser()
    file = file / "study.toml" if file.is_dir() else file
    if not file.is_file():
        near = get_close_matches(str(study), study_names(), n=1)
        meant = f"; did you mean {near[0]}?" if near else f"; studies: {', '.join(study_names())}"
        raise RecipeError(str(study), [f"no such study, file or folder of a started study{meant}"])
    return file


def load_study(study: str | Path, overrides: dict[str, Json] | None = None) -> Study:
    """A study by name, from a TOML file, or from the folder of one that was started.

    Raises RecipeError with all its faults."""
    file = study_file(study)
    try:
        data: dict[str, Json] = toml_values(file.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise RecipeError(str(study), [f"not readable as TOML: {error}"]) from None
    for section in ("common", "axes", "overrides"):
        data[section] = _flat(data.get(section, {}))
    if isinstance(arms := data.get("arms"), dict):
        data["arms"] = {arm: _flat(changes) for arm, changes in arms.items()}
    if isinstance(contrasts := data.get("contrasts"), dict):
        for contrast in contrasts.values():
            if isinstance(contrast, dict) and "at" in contrast:
                contrast["at"] = _flat(contrast["at"])
    if isinstance(data["overrides"], dict):
        data["overrides"] |= flattened(overrides or {})
    if isinstance(tune := data.get("tune"), dict):
        data["tune"] = {"kind": "grid"} | tune | ({"search": _ranges(tune["search"])} if "search" in tune else {})
    data["name"] = data.get("name") or file.resolve().stem
    try:
        read = TypeAdapter(Study).validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        raise RecipeError(str(study), complaints(error, data, Study)) from None
    if faults := _faults(read):
        raise RecipeError(str(study), faults)
    return read


def recipe_of(study: Study, name: str) -> dict[str, Json]:
    """The plain values of a recipe of the study's own, or of a shipped one or file. Raises RecipeError."""
    return dict(study.recipes[name]) if name in study.recipes else read_recipe(name)


def resolved(study: Study) -> dict[str, Json]:
    """The study as plain values, with the recipes as they are now: enough to make it again, and to see that a recipe
    has changed."""
    plain = {key: value for key, value in asdict(study).items() if value not in (None, "", {})}
    plain |= {"tune": study.tune.as_plain()} if study.tune else {}
    plain |= {"contrasts": contrasts_as_plain(study)} if study.contrasts else {}
    names = map(str, study.axes.get("recipe", (study.recipe,)))
    plain["recipes"] = {name: recipe_of(study, name) for name in names}
    return json.loads(json.dumps(plain, default=str))  # lists for tuples, as TOML reads them back


def contrasts_as_plain(study: Study) -> dict[str, Json]:
    """The declared contrasts without what is not set."""
    return {
        name: {key: value for key, value in asdict(contrast).items() if value not in (None, {}, False)}
        for name, contrast in study.contrasts.items()
    }


def to_toml(study: Study) -> str:
    return tomli_w.dumps(resolved(study))


def _faults(study: Study) -> list[str]:
    """The faults that the types let through."""
    faults = [f"arms.{arm}: a name is of letters, digits and . _ + -" for arm in study.arms if not ARM.fullmatch(arm)]
    if study.baseline and study.baseline not in study.arms:
        faults.append(f"baseline: {study.baseline!r} is no arm of this study; arms: {', '.join(study.arms)}")
    if bool(study.recipe) == ("recipe" in study.axes):
        faults.append('recipe: give one, such as "quickstart", or several in [axes]; one of the two')
    lists: dict[str, Sequence[Json]] = {"seeds": study.seeds}
    lists |= {f"axes.{key}": values for key, values in study.axes.items()}
    owners = {"seed": "seeds"} | dict.fromkeys(study.axes, "axes")
    if "seed" in study.axes:
        faults.append("axes.seed: give it in seeds")
    if study.tune:
        lists |= {"tune.seeds": study.tune.seeds}
        lists |= {"tune.values": study.tune.values} if isinstance(study.tune, Tune) else {}
        owners |= dict.fromkeys(study.tune.keys, "tune")
        if both := sorted({*study.seeds} & {*study.tune.seeds}):
            faults.append(f"tune.seeds = {list(study.tune.seeds)}: {both} are final seeds too; give others to [tune]")
        named = "tune.key = {!r}" if isinstance(study.tune, Tune) else "tune.search.{}"
        faults += [
            f"{named.format(key)}: it is one of the axes already" for key in study.tune.keys if key in study.axes
        ]
    faults += [
        f"{key} = {list(values)}: one of them stands twice"
        for key, values in lists.items()
        if any(value in values[:place] for place, value in enumerate(values))
    ]
    faults += [fault for name, contrast in study.contrasts.items() for fault in _contrast_faults(study, name, contrast)]
    layers = {"common": study.common, "overrides": study.overrides}
    layers |= {f"arms.{arm}": changes for arm, changes in study.arms.items()}
    return faults + [
        f"{layer}.{key}: set by [{owners[key]}] too; remove one" if key != "seed" else f"{layer}.seed: give it in seeds"
        for layer, changes in layers.items()
        for key in changes
        if key in owners
    ]


def _contrast_faults(study: Study, name: str, contrast: DeclaredContrast) -> list[str]:
    known = ", ".join(study.arms)
    faults = [
        f"contrasts.{name}.{side}: {arm!r} is no arm of this study; arms: {known}"
        for side, arms in (("more", contrast.more), ("less", contrast.less))
        for arm in arms
        if arm not in study.arms
    ]
    if both := sorted({*contrast.more} & {*contrast.less}):
        faults.append(f"contrasts.{name}: {', '.join(both)} stands on both sides")
    if contrast.interaction and not len(contrast.more) == len(contrast.less) == 2:
        faults.append(f"contrasts.{name}: an interaction has two arms on each side")
    for key, value in contrast.at.items():
        if value not in study.axes.get(key, ()):
            faults.append(f"contrasts.{name}.at: {key} = {value!r} is no value of an axis")
    if len(study.seeds) < 2:
        faults.append(f"contrasts.{name}: seeds = {list(study.seeds)}: a contrast is tested over two seeds or more")
    return faults


def _ranges(search: Json) -> Json:
    """Dotted keys and their values, which are lists, or the sections that have a `low`."""
    if not isinstance(search, dict):
        return search
    flat: dict[str, Json] = {}
    for key, value in search.items():
        if isinstance(value, dict) and "low" not in value and isinstance(inner := _ranges(value), dict):
            flat |= {f"{key}.{name}": one for name, one in inner.items()}
        else:
            flat[key] = value
    return flat


def _flat(section: Json) -> Json:
    return flattened(section) if isinstance(section, dict) else section
