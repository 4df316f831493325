"""The answers that a run sampled, chosen and written for people."""

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from paring.runtime.folder import RunFolder
from paring.runtime.journal import read_rows
from paring.runtime.text import visible
from paring.settings.complaints import reason_of
from paring.settings.options import OptionError

LONGEST_TEXT = 2000


class _Turn(TypedDict):
    role: str
    content: str


class _Row(TypedDict):
    """The part of a row that is shown."""

    problem: str
    prompt: list[_Turn]
    gold: str
    completion: str
    tokens: int
    ended: bool
    reward: float
    reward_parts: dict[str, float]
    advantage: float


def choose(run: Path, *, step: int | None, worst: bool, limit: int) -> list[dict[str, Any]]:
    """Rows of samples.jsonl: of a step, by default the last; `worst` puts the lowest reward first.

    Raises ValueError where the run has no answers, or none of that step."""
    folder = RunFolder(run)
    folder.check_plain()
    path = folder.samples
    if not path.is_file():
        raise ValueError(f"{run} holds no {path.name}: give the folder of a run that has made a step")
    rows = [_with_step(row, path, number) for number, row in enumerate(read_rows(path), start=1)]
    if not rows:
        raise ValueError(
            f"{path} is empty: the run has made no step yet, or is a supervised one, which samples no answers"
        )
    chosen_step = rows[-1]["step"] if step is None else step
    chosen = [row for row in rows if row["step"] == chosen_step]
    if not chosen:
        held = f"{path} holds the steps {rows[0]['step']} to {rows[-1]['step']}"
        raise OptionError(lambda option: f"{option.given('step', chosen_step)}: {held}")
    for row in chosen:
        _check(row, path)
    if worst:
        chosen.sort(key=lambda row: row["reward"])
    return chosen[:limit]


def _with_step(row: dict[str, Any], path: Path, number: int) -> dict[str, Any]:
    if type(row.get("step")) is not int:
        raise ValueError(f"{path}, line {number}: damaged, restore it or remove the line (it has no step)")
    return row


def _check(row: dict[str, Any], path: Path) -> None:
    try:
        TypeAdapter(_Row).validate_python(row, strict=True)
    except ValidationError as error:
        raise ValueError(
            f"{path}: a row of step {row['step']} is damaged, restore it or remove the line "
            f"({visible(reason_of(error))})"
        ) from error


def as_text(rows: list[dict[str, Any]]) -> str:
    """Each answer under its prompt. Text of the model is shown escaped."""
    blocks = []
    for row in rows:
        parts = ", ".join(f"{name} {value:g}" for name, value in row["reward_parts"].items())
        ending = "" if row["ended"] else ", cut off"
        lines = [
            f"step {row['step']}  {visible(row['problem'])}  gold {visible(row['gold'])}",
            *(f"  {visible(turn['role'])}: {visible(turn['content'], LONGEST_TEXT)}" for turn in row["prompt"]),
            f"  answer: {visible(row['completion'], LONGEST_TEXT)}",
            f"  reward {row['reward']:g} ({parts})  advantage {row['advantage']:+.2f}  {row['tokens']} tokens{ending}",
        ]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)
