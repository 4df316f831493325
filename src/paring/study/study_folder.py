"""A study's folder: study.toml is what was asked, study.json how far it is, and runs/ holds ordinary runs."""

import json
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import Any, Literal

from paring.runtime.files import write_durably
from paring.runtime.folder import STUDY_RECORD, RunFolder, check_empty
from paring.settings.recipes import changes
from paring.study.cells import PlannedRun
from paring.study.declaration import Settings, Study, resolved, to_toml


@dataclass(frozen=True)
class Trouble:
    """Why a run has no result. failed: it began well and cannot go on, and would end so again, so it is not repeated;
    broken: something has to be mended first, and then it is tried again."""

    kind: Literal["failed", "broken"]
    words: str


@dataclass(frozen=True)
class Choice:
    """The tuned value of an arm at a setting, and the mean validation accuracy by value, None where a run failed."""

    arm: str
    setting: Settings
    value: Any
    scores: dict[str, float | None]


@dataclass(frozen=True)
class StudyFolder:
    """Where everything of a study lies."""

    path: Path

    @property
    def declaration(self) -> Path:
        return self.path / "study.toml"

    @property
    def record(self) -> Path:
        return self.path / STUDY_RECORD

    def run(self, planned: PlannedRun) -> RunFolder:
        return RunFolder(self.path / planned.folder)

    def begin(self, study: Study) -> None:
        """Make the folder and write the resolved study into it. Raises ValueError where that cannot be."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_durably(self.declaration, to_toml(study).encode())
        except OSError as error:
            raise ValueError(f"{self.path} cannot be written: {error.strerror}. Choose another with --out") from error

    def check(self, study: Study, *, resume: bool) -> None:
        """Raises ValueError where a new study cannot begin here, or this one not be resumed."""
        self.check_same(study) if resume else self.check_free()

    def check_free(self) -> None:
        """Raises ValueError if a new study cannot begin here."""
        if self.declaration.is_file():
            raise ValueError(
                f"{self.path} already holds a study: go on with it by  {self.resume_command()}  "
                "or choose another folder with --out"
            )
        check_empty(self.path)

    def check_same(self, study: Study) -> None:
        """Raises ValueError where there is no study, or not this one."""
        if not self.declaration.is_file():
            raise ValueError(f"{self.path} holds no study to resume: there is no {self.declaration.name} in it")
        changed = changes(tomllib.loads(self.declaration.read_text(encoding="utf-8")), resolved(study))
        if changed:
            raise ValueError(
                f"{self.path}: the study is not the one that was begun:\n  "
                + "\n  ".join(changed)
                + f"\nResume it as it was ({self.resume_command()}), or begin a new one with --out"
            )

    def resume_command(self) -> str:
        return f"paring study {quote(str(self.path))} --resume"

    def write_record(
        self, study: Study, runs: list[PlannedRun], chosen: list[Choice], troubles: dict[str, Trouble]
    ) -> None:
        """Write study.json, which reports read."""
        rows = [
            planned.as_plain() | {"error": asdict(troubles[planned.folder]) if planned.folder in troubles else None}
            for planned in runs
        ]
        record = {
            "name": study.name,
            "question": study.question,
            "recipe": study.recipe or None,
            "arms": list(study.arms),
            "axes": {key: list(values) for key, values in study.axes.items()},
            "seeds": list(study.seeds),
            "tune": asdict(study.tune) if study.tune else None,
            "runs": rows,
            "chosen": [asdict(choice) for choice in chosen],
        }
        write_durably(self.record, (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())

    def read_record(self) -> tuple[list[Choice], dict[str, Trouble]]:
        """What was chosen, and the runs that are not to be repeated, by their folders."""
        if not self.record.is_file():
            return [], {}
        record = json.loads(self.record.read_text(encoding="utf-8"))
        troubles = {row["folder"]: Trouble(**row["error"]) for row in record["runs"] if row["error"]}
        return (
            [Choice(**choice) for choice in record["chosen"]],
            {folder: trouble for folder, trouble in troubles.items() if trouble.kind == "failed"},
        )
