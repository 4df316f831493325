"""Answers of each arm before and after training, to the first held-out problems: nobody chose them."""

from dataclasses import dataclass
from typing import Any

from paring.report.gathering import Contender, Gathered
from paring.report.runs import RunRecord
from paring.runtime.journal import read_rows
from paring.runtime.text import visible

PROBLEMS = 4
LONGEST, SHORTEST = 1200, 60
"""Characters of a text, as there is room."""


@dataclass(frozen=True)
class Answer:
    """What an arm answered, made visible and cut, and whether it is right, where that is known."""

    label: str
    text: str
    correct: bool | None


@dataclass(frozen=True)
class Example:
    """A problem with what the model answered before training and what each arm answers after it."""

    question: str
    gold: str
    answers: tuple[Answer, ...]


def examples_of(gathered: Gathered, *, characters: int) -> list[Example]:
    """The first problems of each arm's first finished run, each problem once; of all texts together at most about
    `characters` characters. Every text is made harmless."""
    told = {contender.full_label: _by_problem(contender) for contender in gathered.contenders}
    chosen = dict.fromkeys(name for examples in told.values() for name in list(examples)[:PROBLEMS])
    answered = {
        name: {label: examples[name] for label, examples in told.items() if name in examples}
        for name in list(chosen)[: 2 * PROBLEMS]
    }
    texts = sum(2 + 2 * len(answers) for answers in answered.values())
    longest = max(SHORTEST, min(LONGEST, characters // max(1, texts)))
    return [_example(answers, longest) for answers in answered.values()]


def first_and_last(gathered: Gathered, *, characters: int) -> list[Example]:
    """Of arms without examples, which have not come to an end: an answer of the first step and one of the last."""
    waiting = [contender for contender in gathered.contenders if not _by_problem(contender)][: 2 * PROBLEMS]
    longest = max(SHORTEST, min(LONGEST, characters // max(1, 6 * len(waiting))))
    return [
        Example(
            _cut(_question(row), longest),
            _cut(row.get("gold"), longest),
            (Answer(f"{contender.full_label}, {end} step", _cut(row.get("completion"), longest), _is(row)),),
        )
        for contender in waiting
        for end, row in _ends(contender.arm.first).items()
    ]


def _by_problem(contender: Contender) -> dict[str, dict[str, Any]]:
    """Problem -> example, of the first run that has any."""
    for run in contender.arm.runs:
        examples = (run.result or {}).get("examples")
        found = [example for example in examples if isinstance(example, dict)] if isinstance(examples, list) else []
        if found:
            return {str(example.get("problem")): example for example in found}
    return {}


def _example(answers: dict[str, dict[str, Any]], longest: int) -> Example:
    """Arms that share a base answer alike before training: that is said once."""
    before: dict[tuple[str, bool | None], list[str]] = {}
    for label, example in answers.items():
        before.setdefault((_cut(example.get("answer"), longest), _is(example)), []).append(label)
    first = next(iter(answers.values()))
    return Example(
        _cut(first.get("question"), longest),
        _cut(first.get("gold"), longest),
        (
            *(
                Answer("before training" if len(before) == 1 else f"before, {', '.join(labels)}", text, correct)
                for (text, correct), labels in before.items()
            ),
            *(
                Answer(label, _cut(example.get("after"), longest), _is(example, "correct_after"))
                for label, example in answers.items()
            ),
        ),
    )


def _ends(run: RunRecord) -> dict[str, dict[str, Any]]:
    """The `first` row of samples.jsonl, and the first of its `last` step. None where there is no sound file."""
    ends: dict[str, dict[str, Any]] = {}
    try:
        for row in read_rows(run.folder / "samples.jsonl"):
            newest = ends.get("last", ends.setdefault("first", row))
            if row.get("step") != newest.get("step"):
                ends["last"] = row
    except (FileNotFoundError, ValueError):
        return {}
    return ends


def _question(row: dict[str, Any]) -> Any:
    prompt = row.get("prompt")
    last = prompt[-1] if isinstance(prompt, list) and prompt else {}
    return last.get("content") if isinstance(last, dict) else ""


def _is(example: dict[str, Any], name: str = "correct") -> bool | None:
    return example[name] if isinstance(example.get(name), bool) else None


def _cut(text: Any, longest: int) -> str:
    """Harmless, and cut twice: an escape is longer than the character that it stands for."""
    shown = visible(text if isinstance(text, str) else "", longest)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"
