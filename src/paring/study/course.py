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
from paring.study.cells import PlannedRun, StudyCell, cells, final_runs, tuning_runs
from paring.study.declaration import Settings, Study, contrasts_as_plain
from paring.study.study_folder import RunResult, StudyFolder, result_of


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
    tuning: list[PlannedRun] = field(init=False)
    final: list[PlannedRun] = field(init=False)
    chosen: dict[str, TunedValue] = field(default_factory=dict)
    """By str(cell)."""
    troubles: dict[str, Trouble] = field(default_factory=dict)
    """By the run's folder."""

    def __post_init__(self) -> None:
        self.tuning = tuning_runs(self.study)
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
            "axes": study.axes,
            "seeds": study.seeds,
            "tune": asdict(study.tune) if study.tune else None,
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
        for cell in cells(self.study):
            runs = [planned for planned in self.tuning if planned.cell == cell]
            broken = [run for run in runs if run.folder in self.troubles and self.troubles[run.folder].kind == "broken"]
            if tune is None or str(cell) in self.chosen or broken or not all(map(self.is_over, runs)):
                continue
            scores = [self._score([run for run in runs if run.overrides[tune.key] == value]) for value in tune.values]
            best = max((score for score in scores if score is not None), default=None)
            if best is None:
                continue
            names = [f"{value:g}" if isinstance(value, float) else str(value) for value in tune.values]
            by_value = dict(zip(names, scores, strict=True))
            self.chosen[str(cell)] = TunedValue(cell.arm, cell.setting, tune.values[scores.index(best)], by_value)
            words.append(f"{cell}: chose {self._choice_words(cell)} by validation accuracy {by_value}")
        self._settle()
        return words

    def _choice_words(self, cell: StudyCell) -> str:
        """`optimiser.lr = 0.001`; empty where nothing is chosen."""
        value = self.chosen.get(str(cell))
        return f"{self.study.tune.key} = {value.value}" if value and self.study.tune else ""

    def _settle(self) -> None:
        """Final runs carry the values that are chosen."""
        self.final = final_runs(self.study, {cell: value.value for cell, value in self.chosen.items()})

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
