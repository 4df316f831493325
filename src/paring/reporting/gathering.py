"""The subject of a report: run folders and study folders in, arms with their runs out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from paring.reporting.differing import differing, repeated, setting_words, written
from paring.reporting.runs import RunRecord, finite, read_run
from paring.runtime.folder import STUDY_RECORD, RunFolder
from paring.types import JsonObject

LONGEST_LABEL = 60


@dataclass(frozen=True)
class Arm:
    """Repetitions of one recipe, ordered by seed: the words by which it is compared, and the setting of a study at
    which it is, with others at the same one."""

    label: str
    place: str
    runs: tuple[RunRecord, ...]

    @property
    def first(self) -> RunRecord:
        return self.runs[0]

    @property
    def full_label(self) -> str:
        return f"{self.label} ({self.place})" if self.place else self.label


@dataclass(frozen=True)
class Tuned:
    """The value that a study chose for an arm on the validation split, and the score of each value it tried; `label`
    and `place` are those of the arm. A search has several `keys`, and its values are trials in words."""

    arm: str
    setting: Mapping[str, object]
    keys: tuple[str, ...]
    value: str | Mapping[str, object]
    scores: Mapping[str, float]
    label: str
    place: str

    @property
    def key(self) -> str:
        """All keys in words."""
        return ", ".join(self.keys)

    @property
    def choice(self) -> str:
        """The choice, in words."""
        return setting_words(self.value if isinstance(self.value, Mapping) else {self.key: self.value})


@dataclass(frozen=True)
class Declared:
    """A contrast that a study declares (study.declaration.DeclaredContrast), by the labels of its arms; `at` are the
    settings, as `key = value` words, at which it holds. margin: a share, None where there is none."""

    name: str
    more: tuple[str, ...]
    less: tuple[str, ...]
    at: tuple[str, ...]
    interaction: bool
    margin: float | None


@dataclass(frozen=True)
class Gathered:
    """All that is reported on, the baseline's arms first; `missing` are the things that are not there, in words."""

    title: str
    question: str
    arms: tuple[Arm, ...]
    tuned: tuple[Tuned, ...]
    missing: tuple[str, ...]
    declared: tuple[Declared, ...] = ()

    @property
    def baseline(self) -> str:
        """The label of the arm that the others are compared with."""
        return self.arms[0].label

    @property
    def runs(self) -> list[RunRecord]:
        return [run for arm in self.arms for run in arm.runs]


def gather(folders: Sequence[Path]) -> Gathered:
    """The runs of these run and study folders. Raises ValueError where a folder is neither, or nothing has begun."""
    if not folders:
        raise ValueError("name at least one folder of a run or of a study")
    studies: list[Gathered] = []
    alone: list[RunRecord] = []
    # A folder that is named twice is not two runs.
    for folder in {folder.resolve(): folder for folder in folders}.values():
        if (folder / STUDY_RECORD).is_file():
            studies.append(_read_study(folder))
        elif RunFolder(folder).recipe.is_file():
            alone.append(read_run(folder))
        else:
            names = f"neither a run ({RunFolder(folder).recipe.name}) nor a study ({STUDY_RECORD})"
            raise ValueError(f"{folder} holds {names}: name folders that do")
    several = len(studies) > 1 or (studies and alone)
    missing = [line for study in studies for line in study.missing]
    arms = [
        replace(arm, label=f"{study.title}: {arm.label}") if several else arm for study in studies for arm in study.arms
    ] + _arms_of(alone, missing)
    if not arms:
        raise ValueError(f"{folders[0]}: none of its runs has begun. {' '.join(missing[:3])}")
    tuned = [tuned for study in studies for tuned in study.tuned]
    # Arms are compared with arms at each setting. Where there is one arm only, its settings are compared.
    if len({arm.label for arm in arms}) == 1:
        arms = [replace(arm, label=arm.place or arm.label, place="") for arm in arms]
        tuned = [replace(one, label=one.place or one.label, place="") for one in tuned]
    title = ", ".join(study.title for study in studies) or (alone[0].folder.name if len(alone) == 1 else "")
    descriptions = {str(run.recipe.get("description", "")) for run in alone}
    questions = [study.question for study in studies] or (descriptions if len(descriptions) == 1 else [])
    question = " ".join(filter(None, questions))
    declared = () if several else tuple(one for study in studies for one in study.declared)
    name = written(title) or f"{len(alone)} runs"
    return Gathered(name, question, tuple(arms), tuple(tuned), tuple(missing), declared)


def _arms_of(runs: Sequence[RunRecord], missing: list[str]) -> list[Arm]:
    """Runs whose recipes differ in the seed alone are one arm, named by what sets it apart from the others."""
    groups: dict[str, list[RunRecord]] = {}
    for run in runs:
        groups.setdefault(json.dumps(repeated(run.recipe), sort_keys=True, default=str), []).append(run)
    recipes = [repeated(group[0].recipe) for group in groups.values()]
    # What only some recipes have follows from a kind that they differ in.
    names = [name for name in differing(recipes) if all(name in recipe for recipe in recipes)]
    labels = [_label(group[0], recipe, names) for group, recipe in zip(groups.values(), recipes, strict=True)]
    return [
        Arm(label if labels.count(label) == 1 else _folder_label(group[0]), "", _by_seed(group, missing))
        for label, group in zip(labels, groups.values(), strict=True)
    ]


def _label(run: RunRecord, recipe: JsonObject, names: Sequence[str]) -> str:
    """The objective, or the kind of adapter, and what differs (`lr 0.001`; a kind goes without its name). The folder
    where that is too long to read."""
    main = next((key for key in ("objective.kind", "adapter.kind") if key in recipe), None)
    parts = [written(recipe[main]) if main else run.folder.name]
    for name in names:
        last = name.rpartition(".")[2]
        if name != main:
            parts.append(written(recipe[name]) if last == "kind" else f"{written(last)} {written(recipe[name])}")
    label = ", ".join(parts)
    return label if len(label) <= LONGEST_LABEL else _folder_label(run)


def _folder_label(run: RunRecord) -> str:
    return written(Path(*run.folder.parts[-2:]))


def _by_seed(runs: Sequence[RunRecord], missing: list[str]) -> tuple[RunRecord, ...]:
    """One run a seed, a finished one before another: the same run twice would look like certainty."""
    chosen: dict[int, RunRecord] = {}
    for run in sorted(runs, key=lambda run: (run.seed, run.result is None)):
        if chosen.setdefault(run.seed, run) is not run:
            missing.append(f"{written(run.folder)} repeats seed {run.seed} of its arm and is left out.")
    return tuple(chosen.values())


def _read_study(folder: Path) -> Gathered:
    """Raises ValueError if the record is not of the agreed form, or a run lies elsewhere: no other files get into the
    report."""
    path = folder / STUDY_RECORD
    try:
        study = json.loads(path.read_bytes())
        cells: dict[tuple[str, str], list[RunRecord]] = {}
        missing: list[str] = []
        for run in study["runs"]:
            if run["stage"] != "final":
                continue
            runs = cells.setdefault((run["arm"], json.dumps(dict(run["setting"].items()), sort_keys=True)), [])
            where = folder / run["folder"]
            if not where.resolve().is_relative_to(folder.resolve()):
                raise ValueError(f"{path}: {run['folder']!a} lies outside the study")
            if RunFolder(where).recipe.is_file():
                runs.append(read_run(where))
            else:
                trouble = f": {written(run['error']['words'])}" if run.get("error") else ""
                missing.append(f"{written(run['folder'])} has not begun{trouble}.")
        arms = tuple(
            Arm(written(name), setting_words(json.loads(setting)), _by_seed(runs, missing))
            for (name, setting), runs in sorted(cells.items(), key=lambda cell: cell[0][0] != study.get("baseline"))
            if runs
        )
        tuned = tuple(_tuned(study["tune"], chosen) for chosen in study.get("chosen") or [])
        declared = tuple(_declared(name, plain) for name, plain in (study.get("contrasts") or {}).items())
        title, question = written(study["name"]) or folder.name, str(study.get("question") or "")
    except (KeyError, TypeError, AttributeError, RecursionError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: damaged, or not the record of a study ({type(error).__name__}: {error})") from error
    return Gathered(title, question, arms, tuned, tuple(missing), declared)


def _declared(name: str, plain: Mapping) -> Declared:
    more, less = (tuple(written(arm) for arm in plain[side]) for side in ("more", "less"))
    at = tuple(setting_words({key: value}) for key, value in plain.get("at", {}).items())
    margin = finite(plain.get("margin"))
    interaction = plain.get("interaction") is True
    return Declared(written(name), more, less, at, interaction, None if margin is None else margin / 100)


def _tuned(tune: Mapping, chosen: Mapping) -> Tuned:
    keys = [tune["key"]] if "key" in tune else list(tune["search"])
    value = dict(chosen["value"]) if isinstance(chosen["value"], Mapping) else written(chosen["value"])
    arm, setting = written(chosen["arm"]), dict(chosen["setting"])
    scores = {written(value): finite(score) for value, score in chosen["scores"].items()}
    known = {value: score for value, score in scores.items() if score is not None}
    return Tuned(arm, setting, tuple(map(written, keys)), value, known, arm, setting_words(setting))
