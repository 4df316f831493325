"""From a study to its runs: every arm, combination of axis values, tuned value and seed, each a checked run."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

from paring.config import AnyRun, Run, validate
from paring.settings.complaints import RecipeError
from paring.settings.recipes import override
from paring.study.declaration import Settings, Study, recipe_of

SELECTORS = ("objective.kind", "adapter.kind", "task.name")
"""Keys that choose which settings their section has."""

Stage = Literal["tune", "final"]


@dataclass(frozen=True)
class Cell:
    """An arm at one combination of axis values: what the seeds are repeated in, and what is tuned by itself."""

    arm: str
    setting: Settings = field(hash=False)

    def __str__(self) -> str:
        return " ".join([self.arm, *(f"{key.rpartition('.')[2]}={value}" for key, value in self.setting.items())])


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study: where it lies in the study's folder, and what it lays over the recipe."""

    cell: Cell
    seed: int
    stage: Stage
    folder: str
    overrides: Settings = field(hash=False)
    run: AnyRun = field(hash=False)

    def __str__(self) -> str:
        return self.folder.removeprefix("runs/")

    def as_plain(self) -> dict[str, Any]:
        return {
            "folder": self.folder,
            "arm": self.cell.arm,
            "setting": self.cell.setting,
            "seed": self.seed,
            "stage": self.stage,
            "overrides": self.overrides,
        }


def cells(study: Study) -> list[Cell]:
    """Arms first, in the order in which they are written."""
    settings = [dict(zip(study.axes, values, strict=True)) for values in product(*study.axes.values())]
    return [Cell(arm, setting) for arm in study.arms for setting in settings]


def tuning_runs(study: Study) -> list[PlannedRun]:
    """The runs that a value is chosen by; none without a [tune] section. Raises RecipeError with all faults."""
    if study.tune is None:
        return []
    runs = _planned(
        study,
        "tune",
        [(cell, value, seed) for cell in cells(study) for value in study.tune.values for seed in study.tune.seeds],
    )
    if not all(isinstance(planned.run, Run) for planned in runs):
        raise RecipeError(study.name, ['[tune] chooses by accuracy on the validation split: method = "rl" only'])
    return runs


def final_runs(study: Study, chosen: Mapping[str, Any]) -> list[PlannedRun]:
    """The runs that answer the question. `chosen`: the tuned value by str(cell); where it is not known yet, the first
    of the values stands in for it. Raises RecipeError with all faults."""
    first = study.tune.values[0] if study.tune else None
    return _planned(
        study,
        "final",
        [(cell, chosen.get(str(cell), first), seed) for cell in cells(study) for seed in study.seeds],
    )


def folder_of(study: Study, cell: Cell) -> str:
    """`runs/<arm>/<axis>-<value>/...`; an axis goes by the last part of its key where no other ends in it."""
    lasts = [key.rpartition(".")[2] for key in study.axes]
    parts = ["runs", cell.arm]
    for key, value in cell.setting.items():
        last = key.rpartition(".")[2]
        labels = [_label(other) for other in study.axes[key]]
        # Two values may look alike once they are made fit for a path: then their places tell them apart.
        place = study.axes[key].index(value)
        label = labels[place] if labels.count(labels[place]) == 1 else f"{labels[place]}-{place + 1}"
        parts.append(f"{last if lasts.count(last) == 1 else key}-{label}")
    return "/".join(parts)


def _planned(study: Study, stage: Stage, parts: list[tuple[Cell, Any, int]]) -> list[PlannedRun]:
    """A run for each (cell, tuned value, seed), or the faults of all of them, each told once."""
    made: list[PlannedRun] = []
    faults: dict[str, str] = {}
    for cell, value, seed in parts:
        try:
            made.append(_one(study, stage, cell, value, seed))
        except RecipeError as error:
            for fault in error.faults:
                faults.setdefault(fault, error.source)
    if faults:
        raise RecipeError(study.name, [f"{source}: {fault}" for fault, source in faults.items()])
    return made


def _one(study: Study, stage: Stage, cell: Cell, value: Any, seed: int) -> PlannedRun:
    overrides = _layered(study, cell)
    folder = folder_of(study, cell)
    if study.tune is not None:
        overrides[study.tune.key] = value
        if stage == "tune":
            overrides["evaluate.validation_at_end"] = True
            folder += f"/tune-{study.tune.key.rpartition('.')[2]}-{_label(value)}"
    overrides["seed"] = seed
    folder += f"/seed-{seed}"
    recipe = cell.setting.get("recipe", study.recipe)
    return PlannedRun(cell, seed, stage, folder, overrides, _run(study, recipe, overrides, folder))


def _layered(study: Study, cell: Cell) -> Settings:
    """The settings of a cell in one layer; a later layer that chooses a section's kind drops what came before of it."""
    axes = {key: value for key, value in cell.setting.items() if key != "recipe"}
    layered: Settings = {}
    for layer in (study.common, study.arms[cell.arm], axes, study.overrides):
        for selector in set(SELECTORS) & layer.keys():
            section = selector.partition(".")[0] + "."
            layered = {key: value for key, value in layered.items() if not key.startswith(section)}
        layered |= layer
    return layered


def _run(study: Study, recipe: str, overrides: Settings, folder: str) -> AnyRun:
    data = _copied(recipe_of(study, recipe))
    for selector in set(SELECTORS) & overrides.keys():
        data[selector.partition(".")[0]] = {}
    for key, value in overrides.items():
        override(data, key, value)
    return validate(data, source=folder.removeprefix("runs/"))


def _copied(value: Any) -> Any:
    return {key: _copied(item) for key, item in value.items()} if isinstance(value, dict) else value


def _label(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip("-.") or "empty"
