"""Answers of each arm before and after training, to the first held-out problems: nobody chose them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from paring.reporting.gathering import Arm, Gathered
from paring.reporting.runs import RunRecord, mapping
from paring.runtime.folder import RunFolder
from paring.runtime.journal import read_rows
from paring.runtime.text import visible
from paring.types import JsonObject

PROBLEMS = 4
LONGEST, SHORTEST = 1200, 60
"""Characters of a text, as there is room."""


@dataclass(frozen=True)
class Answer:
    """An arm's answer, made visible and cut, and whether it is right, where that is known."""

    label: str
    text: str
    correct: bool | None


@dataclass(frozen=True)
class Exchange:
    """A problem with the model's answer before training and each arm's answer after it."""

    kind: ClassVar[str] = "exchange"
    question: str
    gold: str
    answers: tuple[Answer, ...]


def exchanges_of(gathered: Gathered, *, characters: int) -> list[Exchange]:
    """The first problems of each arm's first finished run, each problem once; all texts together have at most about
    `characters` characters. Every text is made harmless."""
    examples = {arm.full_label: _by_problem(arm) for arm in gathered.arms}
    chosen = dict.fromkeys(name for by_problem in examples.values() for name in list(by_problem)[:PROBLEMS])
    answered = [
        {label: by_problem[name] for label, by_problem in examples.items() if name in by_problem}
        for name in list(chosen)[: 2 * PROBLEMS]
    ]
    texts = sum(2 + 2 * len(answers) for answers in answered)
    longest = max(SHORTEST, min(LONGEST, characters // max(1, texts)))
    return [_exchange(answers, longest) for answers in answered]


def first_and_last(gathered: Gathered, *, characters: int) -> list[Exchange]:
    """For arms without examples, which have not come to an end: an answer of the first step and one of the last."""
    waiting = [arm for arm in gathered.arms if not _by_problem(arm)][: 2 * PROBLEMS]
    longest = max(SHORTEST, min(LONGEST, characters // max(1, 6 * len(waiting))))
    exchanges = []
    for arm in waiting:
        for end, row in _ends(arm.first).items():
            prompt = row.get("prompt")
            question = mapping(prompt[-1]).get("content") if isinstance(prompt, list) and prompt else ""
            answer = _answer(f"{arm.full_label}, {end} step", row, ("completion", "correct"), longest)
            exchanges.append(Exchange(_cut(question, longest), _cut(row.get("gold"), longest), (answer,)))
    return exchanges


def _by_problem(arm: Arm) -> dict[str, JsonObject]:
    """Problem -> example, of the first run that has any."""
    for run in arm.runs:
        examples = run.ended("examples")
        if rows := [row for row in examples if isinstance(row, dict)] if isinstance(examples, list) else []:
            return {str(row.get("problem")): row for row in rows}
    return {}


def _exchange(examples: Mapping[str, JsonObject], longest: int) -> Exchange:
    """Arms that share a base answer alike before training: that answer stands once."""
    before: dict[Answer, list[str]] = {}
    for label, example in examples.items():
        before.setdefault(_answer("", example, ("answer", "correct"), longest), []).append(label)
    answers = [
        Answer("before training" if len(before) == 1 else f"before, {', '.join(labels)}", one.text, one.correct)
        for one, labels in before.items()
    ]
    after: dict[Answer, list[str]] = {}
    for label, row in examples.items():
        after.setdefault(_answer("", row, ("after", "correct_after"), longest), []).append(label)
    alone = len(examples) > 1 and len(after) == 1
    answers += [
        Answer("after training" if alone else "; ".join(labels), one.text, one.correct) for one, labels in after.items()
    ]
    first = next(iter(examples.values()))
    return Exchange(_cut(first.get("question"), longest), _cut(first.get("gold"), longest), tuple(answers))


def _answer(label: str, row: JsonObject, names: tuple[str, str], longest: int) -> Answer:
    text, correct = map(row.get, names)
    return Answer(label, _cut(text, longest), correct if isinstance(correct, bool) else None)


def _ends(run: RunRecord) -> dict[str, JsonObject]:
    """The `first` row of samples.jsonl, and the first of its `last` step. None where there is no sound file."""
    ends: dict[str, JsonObject] = {}
    try:
        for row in read_rows(RunFolder(run.folder).samples):
            newest = ends.get("last", ends.setdefault("first", row))
            if row.get("step") != newest.get("step"):
                ends["last"] = row
    except (FileNotFoundError, ValueError):
        return {}
    return ends


def _cut(text: object, longest: int) -> str:
    """Harmless, and cut twice: an escape is longer than the character that it stands for."""
    shown = visible(text if isinstance(text, str) else "", longest)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"
