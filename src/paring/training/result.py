"""The end of a run: what result.json holds, and the words that a person reads."""

import html
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from shlex import quote
from typing import Literal

import torch
from pydantic import TypeAdapter

from paring.adapters.attach import published_parameters, ranks_of
from paring.adapters.coverage import coverage
from paring.evaluation.measuring import PartRate
from paring.policy.model import Policy
from paring.runtime.machine import peak_memory_gb, versions
from paring.runtime.tables import Table, plain_html
from paring.runtime.text import accuracy_words, duration, next_steps, percent, visible
from paring.training.collapse import CollapseEvent
from paring.training.config import AnyRun, Run
from paring.training.heldout import HeldOutLoss
from paring.training.progress import Examined, Progress, ShownAnswer
from paring.training.sampled import Sampled
from paring.types import Json

LONGEST_ANSWER = 300
FIGURES = ("accuracy", "length", "truncated", "loss", "perplexity")
"""The figures of an evaluation that a notebook shows, where it has them."""


@dataclass(frozen=True)
class PublishedAdapter:
    """The adapter that a run ended with: its kind, its parameters, the rank of each module by path, and the share of
    the model's matrix parameters by what stands on them (adapters.coverage)."""

    kind: str
    parameters: int
    ranks: dict[str, int]
    coverage: dict[str, float]


@dataclass(frozen=True)
class ShownChange(ShownAnswer):
    """An answer before training, and the one after it."""

    after: str
    correct_after: bool


@dataclass(frozen=True, kw_only=True)
class Values:
    """The values of result.json, in this order: `method` and `data` for a supervised run; `task`, `objective`,
    `validation` and `collapse` for one of reinforcement learning. `before` and `after` are evaluations as plain
    values."""

    method: Literal["sft"] | None = None
    data: str | None = None
    task: str | None = None
    objective: str | None = None
    seed: int
    steps: int
    updates: int
    dropped_steps: int
    training_seconds: float
    peak_memory_gb: float | None
    """None where the system does not say it."""
    threads: int
    processes: int | None = None
    """Those that trained together; left out where it was one."""
    versions: dict[str, str]
    unpacked: str | None = None
    """Why passes were not packed; left out where they were."""
    adapter: PublishedAdapter
    before: Mapping[str, object]
    after: Mapping[str, object]
    validation: Mapping[str, object] | None = None
    collapse: CollapseEvent | None = None
    examples: list[ShownChange]

    def as_plain(self) -> dict[str, Json]:
        left_out = {"task", "objective", "validation", "collapse"} if self.method else {"method", "data"}
        left_out |= {name for name in ("unpacked", "processes") if getattr(self, name) is None}
        return {name: value for name, value in asdict(self).items() if name not in left_out}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Json]) -> "Values":
        """The inverse of `as_plain`. Raises ValueError where a value is missing or of another type."""
        return TypeAdapter(cls).validate_json(json.dumps(plain))


def values_of(
    run: AnyRun,
    progress: Progress,
    policy: Policy,
    after: Examined,
    validation: Mapping[str, object] | None,
    *,
    processes: int,
) -> Values:
    """The values of a run that has come to its end. `after`: the trained policy, examined on what the base was."""
    is_rl = isinstance(run, Run)
    assert progress.before is not None
    return Values(
        method=None if is_rl else "sft",
        data=None if is_rl else run.data.name,
        task=run.task.name if is_rl else None,
        objective=run.objective.kind if is_rl else None,
        seed=run.seed,
        steps=progress.step,
        updates=progress.updates,
        dropped_steps=progress.dropped,
        training_seconds=progress.seconds,
        peak_memory_gb=peak_memory_gb(),
        threads=torch.get_num_threads(),
        processes=processes if processes > 1 else None,
        versions=versions(),
        unpacked=policy.unpacked,
        adapter=PublishedAdapter(
            run.adapter.kind, published_parameters(policy.adapters), ranks_of(policy.adapters), coverage(policy.model)
        ),
        before=progress.before.evaluation,
        after=after.evaluation,
        validation=validation,
        collapse=progress.watch.found,
        examples=[
            ShownChange(**vars(old), after=new.answer, correct_after=new.correct)
            for old, new in zip(progress.before.examples, after.examples, strict=True)
        ],
    )


@dataclass(frozen=True)
class Result:
    """The result of `train`. `values` are those of result.json, None where the run was interrupted (then `exit_code`
    is 130 or 143, as shells expect)."""

    folder: Path
    values: Values | None = None
    exit_code: int = 0

    def __str__(self) -> str:
        """The figures, an answer in full, where it lies, and commands to try next."""
        name = quote(str(self.folder))
        if self.values is None:
            return f"interrupted, and saved; go on with:  paring train --resume {name}"
        lines, commands = _of_sft(name, self.values) if self.values.method else _of_rl(name, self.values)
        if self.values.adapter.kind not in ("lora", "dora"):
            ranks = self.values.adapter.ranks.values()
            count = f"{sum(ranks)} in all, {self.values.adapter.parameters:,} parameters"
            lines.append(f"ranks {min(ranks)} to {max(ranks)}, {count}")
            commands = {f"paring ranks {name}": "where its ranks went, and why"} | commands
        commands[f"paring report {name}"] = "the run as a page"
        commands[f"paring chat {name} --compare base"] = "talk to it, beside its base"
        commands[f"paring export {name} --to DIR"] = "the adapter for PEFT, vLLM, ... (--merged: a whole model)"
        commands[f"paring push {name} --to ORG/NAME"] = "put it on the Hugging Face hub"
        return "\n".join([*lines, f"written to {self.folder}", *next_steps(commands)])

    def _repr_html_(self) -> str:
        """For notebooks: the figures as a table, and what it says as text. Every text is escaped."""
        if self.values is None:
            return f"<p>{plain_html(str(self))}</p>"
        before, after = self.values.before, self.values.after
        figures = [
            [name.replace("_", " "), *(f"{one[name]:.4g}" for one in (before, after))]
            for name in FIGURES
            if isinstance(before.get(name), int | float) and isinstance(after.get(name), int | float)
        ]
        table = Table(("", "before", "after"), figures, title=f"{self.folder}")
        shown = "\n".join(html.escape(line) for line in str(self).splitlines())
        return f"{table.as_html()}\n<details><summary>in words</summary><pre>{shown}</pre></details>"


@dataclass(frozen=True)
class _Accuracy:
    """The figures of an evaluation that the words below need."""

    accuracy: float
    interval: tuple[float, float]
    problems: int
    traits: dict[str, float]
    by: dict[str, dict[str, PartRate]] = field(default_factory=dict)
    sampled: Sampled | None = None

    def __str__(self) -> str:
        return accuracy_words(self.accuracy, *self.interval)


def _of_rl(folder: str, values: Values) -> tuple[list[str], dict[str, str]]:
    """The result of a run of reinforcement learning in words, and the commands to try next, each with its purpose."""
    before, after = map(TypeAdapter(_Accuracy).validate_python, (values.before, values.after))
    traits = "".join(
        f"; answers with {name.replace('_', ' ')} {percent(share)} % -> {percent(after.traits[name])} %"
        for name, share in before.traits.items()
    )
    time = duration(values.training_seconds)
    line = f"accuracy {before} -> {after} on {after.problems} held-out problems{traits}; {time}"
    more = [
        f"  {label}: {before.by['task'][label]} -> {part} on {part.problems}"
        for label, part in after.by.get("task", {}).items()
    ]
    if before.sampled and after.sampled:
        more.append(f"  sampled: {before.sampled} -> {after.sampled}")
    # One answer in full: the first that was wrong before and is right after, else the first of all.
    shown = next((one for one in values.examples if one.correct_after and not one.correct), values.examples[0])
    parts = {"question": shown.question, "before": shown.answer, "after": shown.after}
    return [line, *more, *(f"  {name:<9} {visible(text, LONGEST_ANSWER)}" for name, text in parts.items())], {
        f"paring samples {folder} --worst": "what it still gets wrong",
        f"paring eval {folder} --task {values.task}": "measure it again, or on another task",
    }


def _of_sft(folder: str, values: Values) -> tuple[list[str], dict[str, str]]:
    """The same of a supervised run."""
    before, after = map(TypeAdapter(HeldOutLoss).validate_python, (values.before, values.after))
    perplexity = f"perplexity {before.perplexity:.4g} -> {after.perplexity:.4g}"
    line = (
        f"held-out loss {before.loss:.4f} -> {after.loss:.4f} nats a token ({perplexity}) on {after.examples} "
        f"examples; {duration(values.training_seconds)}"
    )
    return [line], {f"paring eval {folder} --task TASK": "measure its answers"}
