"""A study's folder: study.toml declares it, study.json says how far it is, runs/ holds ordinary runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Literal

from paring.runtime.files import write_durably
from paring.runtime.folder import STUDY_RECORD, RunFolder, check_empty, in_words_of
from paring.settings.recipes import changes, toml_values
from paring.study.cells import PlannedRun
from paring.study.declaration import Study, resolved, to_toml
from paring.types import Json


@dataclass(frozen=True)
class RunResult:
    """The result of a run, as far as a study reads it.

    value         accuracy on the test split after training, or a supervised run's held-out loss in nats a token
    validation    accuracy on the validation split after training, where it was measured
    seconds       of training; `evaluation_seconds` of the `evaluated` problems before and after it
    collapse      in words; empty where the run did not collapse
    """

    measure: Literal["accuracy", "loss"]
    value: float
    validation: float | None
    seconds: float
    evaluation_seconds: float
    evaluated: float
    collapse: str
    problems: int
    """Test problems, or held-out examples."""

    def __str__(self) -> str:
        value = f"{100 * self.value:.1f} %" if self.measure == "accuracy" else f"{self.value:.4f}"
        return f"{self.measure} {value} after {self.seconds:.0f} s" + (f"; {self.collapse}" if self.collapse else "")


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

    @property
    def resume_command(self) -> str:
        return f"paring study {quote(str(self.path))} --resume"

    def run(self, planned: PlannedRun) -> RunFolder:
        return RunFolder(self.path / planned.folder)

    def begin(self, study: Study) -> None:
        """Write the resolved study into the folder, which is there. Raises ValueError where that cannot be."""
        with in_words_of(self.path):
            write_durably(self.declaration, to_toml(study).encode())

    def make(self) -> None:
        """Make the folder. Raises ValueError where that cannot be."""
        with in_words_of(self.path):
            self.path.mkdir(parents=True, exist_ok=True)

    def check(self, study: Study, *, resume: bool) -> None:
        """Raises ValueError where a new study cannot begin here, or this one not be resumed."""
        if not resume and self.declaration.is_file():
            raise ValueError(
                f"{self.path} already holds a study: go on with it by  {self.resume_command}  "
                "or choose another folder with --out"
            )
        if not resume:
            check_empty(self.path)
        elif not self.declaration.is_file():
            raise ValueError(f"{self.path} holds no study to resume: there is no {self.declaration.name} in it")
        elif changed := changes(toml_values(self.declaration.read_text(encoding="utf-8")), resolved(study)):
            raise ValueError(
                f"{self.path}: the study is not the one that was begun:\n  "
                + "\n  ".join(changed)
                + f"\nResume it as it was ({self.resume_command}), or begin a new one with --out"
            )


def result_of(folder: RunFolder) -> RunResult | None:
    """The result of a run that came to its end, else None."""
    values = folder.read_result()
    if values is None:
        return None
    before, after, validation, collapse = (
        section if isinstance(section := values.get(name), Mapping) else {}
        for name in ("before", "after", "validation", "collapse")
    )
    measure, count = ("accuracy", "problems") if "accuracy" in after else ("loss", "examples")
    return RunResult(
        measure,
        _number(after, measure),
        _number(validation, "accuracy") if validation else None,
        _number(values, "training_seconds"),
        _number(before, "seconds") + _number(after, "seconds"),
        _number(before, count) + _number(after, count),
        str(collapse.get("words", "")),
        int(_number(after, count)),
    )


def _number(section: Mapping[str, Json], name: str) -> float:
    number = section[name]
    assert isinstance(number, int | float), (name, number)
    return number
