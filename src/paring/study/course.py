"""How far a study is: which runs have ended, which may begin, which values tuning has chosen; and its end in words."""

import json
from dataclasses import asdict, dataclass, field
from shlex import quote
from typing import Literal

from pydantic import JsonValue

from paring.maths.estimates import t_interval
from paring.maths.seeds import accuracy_interval
from paring.runtime.files import write_durably
from paring.runtime.tables import Table
from paring.runtime.text import percent, percent_interval
from paring.study.cells import PlannedRun, StudyCell, cells, final_runs, first_trials, tuning_runs
from paring.study.declaration import Study, contrasts_as_plain
from paring.study.study_folder import RunResult, StudyFolder, result_of
from paring.study.tuning import Settings, TuningTrial


@dataclass(frozen=True)
class Trouble:
    """Why a run has no result. failed: it began well and cannot go on, and would end so again, so it is not repeated;
    broken: something has to be mended first, and then it is tried again."""

    kind: Literal["failed", "broken"]
    words: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.words}"


@dataclass(frozen=True)
class TunedValue:
    """The chosen value of an arm at a setting, and the mean validation accuracy by value, None where a run failed."""

    arm: str
    setting: Settings
    value: JsonValue
    scores: dict[str, float | None]


@dataclass
class Course:
    """The state of a study. All of it can be read again from its folder."""

    study: Study
    folder: StudyFolder
    trials: dict[str, list[TuningTrial]] = field(init=False)
    """The trials that each cell has made or makes next, by str(cell)."""
    tuning: list[PlannedRun] = field(init=False)
    final: list[PlannedRun] = field(init=False)
    chosen: dict[str, TunedValue] = field(default_factory=dict)
    """By str(cell)."""
    troubles: dict[str, Trouble] = field(default_factory=dict)
    """By the run's folder."""

    def __post_init__(self) -> None:
        self.trials = first_trials(self.study)
        self.tuning = tuning_runs(self.study, self.trials)
        self.final = final_runs(self.study, {})

    def recall(self) -> None:
        """Take up the choices and the failed runs of study.json; a broken run is tried again."""
        if not self.folder.record.is_file():
            return
        try:
            record = json.loads(self.folder.record.read_text(encoding="utf-8"))
            values = [TunedValue(**chosen) for chosen in record["chosen"]]
            troubles = {row["folder"]: Trouble(**row["error"]) for row in record["runs"] if row["error"]}
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise ValueError(
                f"{self.folder.record}: damaged ({error}). Remove it:  {self.folder.resume_command}  writes it again"
            ) from error
        self.chosen = {str(StudyCell(value.arm, value.setting)): value for value in values}
        self.troubles = {folder: trouble for folder, trouble in troubles.items() if trouble.kind == "failed"}
        self._settle()

    def write(self) -> None:
        """Write study.json, which reports read."""
        study = self.study
        errors = {folder: asdict(trouble) for folder, trouble in self.troubles.items()}
        record = {
            "name": study.name,
            "question": study.question,
            "recipe": study.recipe or None,
            "arms": list(study.arms),
            "baseline": study.baseline or next(iter(study.arms)),
            "axes": study.axes,
            "seeds": study.seeds,
            "tune": study.tune.as_plain() if study.tune else None,
            "contrasts": contrasts_as_plain(study),
            "runs": [planned.as_plain() | {"error": errors.get(planned.folder)} for planned in self.runs],
            "chosen": [asdict(value) for value in self.chosen.values()],
        }
        write_durably(self.folder.record, (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())

    @property
    def runs(self) -> list[PlannedRun]:
        return [*self.tuning, *self.final]

    def result(self, planned: PlannedRun) -> RunResult | None:
        return result_of(self.folder.run(planned))

    def is_over(self, planned: PlannedRun) -> bool:
        """It has its result, or is known to have none."""
        return planned.folder in self.troubles or self.folder.run(planned).result.is_file()

    def ready(self) -> list[PlannedRun]:
        """The runs that are not over and could begin now: final runs wait for the choice of their cell."""
        final = [one for one in self.final if self.study.tune is None or str(one.cell) in self.chosen]
        return [planned for planned in [*self.tuning, *final] if not self.is_over(planned)]

    def choose(self) -> list[str]:
        """Choose the value of every cell whose tuning runs have all finished or failed; the new choices in words. A
        cell without a finished run, or with a broken one, gets no choice, and its final runs do not begin."""
        words, tune = [], self.study.tune
        for cell in cells(self.study) if tune else []:
            assert tune is not None
            scores, trials = self._tried(cell), self.trials[str(cell)]
            best = max((one for one in scores if one is not None), default=None)
            if str(cell) in self.chosen or len(scores) < tune.count or best is None:
                continue
            by_trial = dict(zip([trial.words for trial in trials], scores, strict=True))
            value = tune.value_of(trials[scores.index(best)])
            self.chosen[str(cell)] = TunedValue(cell.arm, cell.setting, value, by_trial)
            words.append(f"{cell}: chose {self._choice_words(cell)} by validation accuracy {by_trial}")
        self._settle()
        return words

    def to_come(self, cell: StudyCell | None = None) -> int:
        """Tuning runs of a cell, or of all, that are not planned yet: each is proposed from those before it."""
        if self.study.tune is None:
            return 0
        known = [trials for name, trials in self.trials.items() if cell is None or name == str(cell)]
        return sum(self.study.tune.count - len(trials) for trials in known) * len(self.study.tune.seeds)

    def _tried(self, cell: StudyCell) -> list[float | None]:
        """The scores of a cell's trials up to the first that is not over, or is broken; the trial that follows them is
        planned."""
        name, tune = str(cell), self.study.tune
        assert tune is not None
        scores: list[float | None] = []
        while True:
            for trial in self.trials[name][len(scores) :]:
                runs = [one for one in self.tuning if one.cell == cell and one.folder.split("/")[-2] == trial.folder]
                broken = any(run.folder in self.troubles and self.troubles[run.folder].kind == "broken" for run in runs)
                if broken or not all(map(self.is_over, runs)):
                    return scores
                scores.append(self._score(runs))
            following = tune.tried(scores)
            if len(following) == len(self.trials[name]):
                return scores
            self.trials[name] = following
            self.tuning = tuning_runs(self.study, self.trials)

    def _choice_words(self, cell: StudyCell) -> str:
        """`optimiser.lr = 0.001`; empty where nothing is chosen."""
        value = self.chosen.get(str(cell))
        tuned = self.study.tune.settings_of(value.value) if value and self.study.tune else {}
        return ", ".join(f"{key} = {setting}" for key, setting in tuned.items())

    def _settle(self) -> None:
        """Final runs carry the values that are chosen."""
        tune = self.study.tune
        chosen = {cell: tune.settings_of(value.value) for cell, value in self.chosen.items()} if tune else {}
        self.final = final_runs(self.study, chosen)

    def _score(self, runs: list[PlannedRun]) -> float | None:
        """The mean validation accuracy of the runs; None where one has none."""
        results = [self.result(one) for one in runs]
        values = [one.validation for one in results if one is not None and one.validation is not None]
        return sum(values) / len(values) if len(values) == len(runs) else None

    def end_words(self, *, interrupted: bool) -> list[str]:
        """The lines that end a study."""
        path = self.folder.path
        rows = [(str(cell), self._measured(cell), self._choice_words(cell)) for cell in cells(self.study)]
        lines = Table(("arm", "result", "tuned"), rows, words=frozenset({1, 2})).as_text()
        troubled = [one for one in self.runs if one.folder in self.troubles]
        lines += [f"{one} {self.troubles[one.folder]}" for one in troubled]
        if interrupted:
            return [*lines, f"interrupted, and saved; go on with:  {self.folder.resume_command}"]
        if any(self.troubles[one.folder].kind == "broken" for one in troubled):
            lines.append(f"mend what is broken, then go on with:  {self.folder.resume_command}")
        return [*lines, f"written to {path}", "next:", f"  paring report {quote(str(path))}"]

    def _measured(self, cell: StudyCell) -> str:
        """The mean over seeds of the results of a cell, with Student's 95 % interval."""
        runs = [planned for planned in self.final if planned.cell == cell]
        results = [result for result in map(self.result, runs) if result is not None]
        if not results:
            return "no result"
        measure, values = results[0].measure, [result.value for result in results]
        mean, interval = sum(values) / len(values), ""
        if measure == "accuracy":
            words = f"accuracy {percent(mean)} %"
            if len(values) > 1:
                interval = f" {percent_interval(*accuracy_interval(values, results[0].problems))}"
        else:
            words = f"loss {mean:.4f}"
            if len(values) > 1:
                interval = " [{:.4f}, {:.4f}]".format(*t_interval(values))
        words += interval
        collapsed = sum(bool(result.collapse) for result in results)
        return f"{words} over {len(values)} of {len(runs)} seeds" + (f", {collapsed} collapsed" if collapsed else "")
