"""From a study to its runs: every arm, combination of axis values, tuned value and seed, each a checked run."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

from paring.settings.complaints import RecipeError
from paring.settings.recipes import override
from paring.study.declaration import Study, recipe_of
from paring.study.tuning import Settings, TuningTrial, label
from paring.training.config import AnyRun, Run, validate
from paring.types import Json

SELECTORS = ("objective.kind", "adapter.kind", "task.name")
"""Keys that choose which settings their section has."""

Stage = Literal["tune", "final"]


@dataclass(frozen=True)
class StudyCell:
    """An arm at one combination of axis values: repeated over seeds, and tuned by itself."""

    arm: str
    setting: Settings = field(hash=False)

    def __str__(self) -> str:
        return " ".join([self.arm, *(f"{key.rpartition('.')[2]}={value}" for key, value in self.setting.items())])


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study: its place in the study's folder, and the settings that it lays over the recipe."""

    cell: StudyCell
    seed: int
    stage: Stage
    folder: str
    overrides: Settings = field(hash=False)
    run: AnyRun = field(hash=False)

    def __str__(self) -> str:
        return self.folder.removeprefix("runs/")

    def as_plain(self) -> dict[str, Json]:
        where: dict[str, Json] = {"folder": self.folder, "arm": self.cell.arm, "setting": self.cell.setting}
        return where | {"seed": self.seed, "stage": self.stage, "overrides": self.overrides}


def cells(study: Study) -> list[StudyCell]:
    """Arms first, in the order in which they are written."""
    settings = [dict(zip(study.axes, values, strict=True)) for values in product(*study.axes.values())]
    return [StudyCell(arm, setting) for arm in study.arms for setting in settings]


def first_trials(study: Study) -> dict[str, list[TuningTrial]]:
    """The trials of each cell before any score is known, by str(cell)."""
    return {str(cell): study.tune.tried([]) for cell in cells(study)} if study.tune else {}


def tuning_runs(study: Study, trials: Mapping[str, Sequence[TuningTrial]]) -> list[PlannedRun]:
    """The runs of the trials of each cell, by str(cell); none without a [tune] section. Raises RecipeError with all
    faults."""
    if study.tune is None:
        return []
    tried = [(cell, trial) for cell in cells(study) for trial in trials[str(cell)]]
    runs = _planned(study, "tune", [(cell, trial, seed) for cell, trial in tried for seed in study.tune.seeds])
    if not all(isinstance(planned.run, Run) for planned in runs):
        raise RecipeError(study.name, ['[tune] chooses by accuracy on the validation split: method = "rl" only'])
    return runs


def final_runs(study: Study, chosen: Mapping[str, Settings]) -> list[PlannedRun]:
    """The runs that answer the question. `chosen`: the tuned settings by str(cell); where they are not known yet, the
    first trial stands in for them. Seed by seed, so that a study which is cut short has whole seeds. Raises RecipeError
    with all faults."""
    first = study.tune.tried([])[0].settings if study.tune else {}
    tuned = {str(cell): TuningTrial(chosen.get(str(cell), first), "", "") for cell in cells(study)}
    parts = [(cell, tuned[str(cell)], seed) for seed in study.seeds for cell in cells(study)]
    return _planned(study, "final", parts)


def folder_of(study: Study, cell: StudyCell) -> str:
    """`runs/<arm>/<axis>-<value>/...`; an axis goes by the last part of its key where no other ends in it."""
    lasts = [key.rpartition(".")[2] for key in study.axes]
    parts = ["runs", cell.arm]
    for key, value in cell.setting.items():
        last = key.rpartition(".")[2]
        labels = [label(other) for other in study.axes[key]]
        # Two values may look alike once they are made fit for a path: then their places tell them apart.
        place = study.axes[key].index(value)
        name = labels[place] if labels.count(labels[place]) == 1 else f"{labels[place]}-{place + 1}"
        parts.append(f"{last if lasts.count(last) == 1 else key}-{name}")
    return "/".join(parts)


def _planned(study: Study, stage: Stage, parts: list[tuple[StudyCell, TuningTrial, int]]) -> list[PlannedRun]:
    """A run for each (cell, trial, seed), or the faults of all of them, each once."""
    runs: list[PlannedRun] = []
    faults: dict[str, str] = {}
    for cell, trial, seed in parts:
        try:
            runs.append(_one(study, stage, cell, trial, seed))
        except RecipeError as error:
            for fault in error.faults:
                faults.setdefault(fault, error.source)
    if faults:
        raise RecipeError(study.name, [f"{source}: {fault}" for fault, source in faults.items()])
    return runs


def _one(study: Study, stage: Stage, cell: StudyCell, trial: TuningTrial, seed: int) -> PlannedRun:
    overrides = _layered(study, cell) | trial.settings
    folder = folder_of(study, cell)
    if stage == "tune":
        overrides |= {"evaluate.validation_at_end": True, "evaluate.samples": 0}
        folder += f"/{trial.folder}"
    overrides["seed"] = seed
    folder += f"/seed-{seed}"
    data = deepcopy(recipe_of(study, str(cell.setting.get("recipe", study.recipe))))
    for selector in set(SELECTORS) & overrides.keys():
        data[selector.partition(".")[0]] = {}
    for key, setting in overrides.items():
        override(data, key, setting)
    return PlannedRun(cell, seed, stage, folder, overrides, validate(data, source=folder.removeprefix("runs/")))


def _layered(study: Study, cell: StudyCell) -> Settings:
    """The settings of a cell in one layer; a later layer that chooses a section's kind drops the earlier ones of it."""
    axes = {key: value for key, value in cell.setting.items() if key != "recipe"}
    layered: Settings = {}
    for layer in (study.common, study.arms[cell.arm], axes, study.overrides):
        for selector in set(SELECTORS) & layer.keys():
            section = selector.partition(".")[0] + "."
            layered = {key: value for key, value in layered.items() if not key.startswith(section)}
        layered |= layer
    return layered
