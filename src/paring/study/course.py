"""How far a study is: which runs have ended, which may begin, and what tuning has chosen."""

from dataclasses import dataclass, field
from typing import Any

from paring.study.cells import Cell, PlannedRun, cells, final_runs, tuning_runs
from paring.study.declaration import Study, Tune
from paring.study.study_folder import Choice, StudyFolder, Trouble


@dataclass
class Course:
    """The state of a study. All of it can be told again from its folder."""

    study: Study
    folder: StudyFolder
    tuning: list[PlannedRun] = field(init=False)
    final: list[PlannedRun] = field(init=False)
    choices: dict[str, Choice] = field(default_factory=dict)
    """By str(cell)."""
    troubles: dict[str, Trouble] = field(default_factory=dict)
    """By the run's folder."""

    def __post_init__(self) -> None:
        self.tuning = tuning_runs(self.study)
        self.final = final_runs(self.study, {})

    def recall(self) -> None:
        """Take up what the folder knows."""
        chosen, self.troubles = self.folder.read_record()
        by_part = {(choice.arm, str(choice.setting)): choice for choice in chosen}
        for cell in cells(self.study):
            if choice := by_part.get((cell.arm, str(cell.setting))):
                self.choices[str(cell)] = choice
        self._settle()

    def write(self) -> None:
        self.folder.write_record(self.study, self.runs, list(self.choices.values()), self.troubles)

    @property
    def runs(self) -> list[PlannedRun]:
        return [*self.tuning, *self.final]

    def result(self, planned: PlannedRun) -> dict[str, Any] | None:
        return self.folder.run(planned).read_result()

    def is_over(self, planned: PlannedRun) -> bool:
        """It has its result, or is known to have none."""
        return planned.folder in self.troubles or self.folder.run(planned).result.is_file()

    def ready(self) -> list[PlannedRun]:
        """The runs that are not over and could begin now: final runs wait for the choice of their cell."""
        may_begin = [
            *self.tuning,
            *(one for one in self.final if self.study.tune is None or str(one.cell) in self.choices),
        ]
        return [planned for planned in may_begin if not self.is_over(planned)]

    def fail(self, planned: PlannedRun, trouble: Trouble) -> None:
        self.troubles[planned.folder] = trouble

    def choose(self) -> list[tuple[Cell, Choice]]:
        """Choose the value of every cell whose tuning runs have all finished or failed; what is new of it. A cell of
        which nothing finished, or a run is broken, gets no choice, and its final runs do not begin."""
        fresh = []
        for cell in cells(self.study) if self.study.tune else ():
            if str(cell) not in self.choices and (choice := self._choice(cell, self.study.tune)):
                self.choices[str(cell)] = choice
                fresh.append((cell, choice))
        self._settle()
        return fresh

    def _settle(self) -> None:
        """Final runs carry the values that are chosen."""
        self.final = final_runs(self.study, {cell: choice.value for cell, choice in self.choices.items()})

    def _choice(self, cell: Cell, tune: Tune) -> Choice | None:
        runs = [planned for planned in self.tuning if planned.cell == cell]
        broken = [one for one in runs if one.folder in self.troubles and self.troubles[one.folder].kind == "broken"]
        if broken or not all(map(self.is_over, runs)):
            return None
        scores: dict[str, float | None] = {}
        best: tuple[float, Any] | None = None
        for value in tune.values:
            results = [self.result(one) for one in runs if one.overrides[tune.key] == value]
            complete = None not in results
            score = sum(one["validation"]["accuracy"] for one in results) / len(results) if complete else None
            scores[f"{value:g}" if isinstance(value, float) else str(value)] = score
            if score is not None and (best is None or score > best[0]):
                best = (score, value)
        return Choice(cell.arm, cell.setting, best[1], scores) if best else None
