"""The end of a run: its adapter, its result.json, and what to tell the user."""

from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

import torch

from paring.adapters.attach import published_parameters, ranks_of
from paring.config import Run
from paring.policy.loading import base_name
from paring.runtime.machine import peak_memory_gb, versions
from paring.runtime.screen import visible
from paring.training.folder import RunFolder
from paring.training.progress import Examined, Progress
from paring.training.setup import Setup

LONGEST_ANSWER = 300


@dataclass(frozen=True)
class Result:
    """What came of `train`. `values` are those of result.json, None where the run was interrupted (then `exit_code`
    is 130 or 143, as shells expect)."""

    folder: Path
    values: dict[str, Any] | None = None
    exit_code: int = 0

    def __str__(self) -> str:
        return "\n".join(summary(self.folder, self.values) if self.values else interrupted(self.folder))


def finished(run: Run, folder: RunFolder, setup: Setup, progress: Progress, after: Examined) -> Result:
    """Publish the adapter and write result.json, the last file of a run."""
    folder.publish(setup.policy.adapters, base_model=base_name(run.model.path))
    values = {
        "task": run.task.name,
        "objective": run.objective.kind,
        "seed": run.seed,
        "steps": progress.step,
        "updates": progress.updates,
        "dropped_steps": progress.dropped,
        "training_seconds": progress.seconds,
        "peak_memory_gb": peak_memory_gb(),
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "adapter": {
            "kind": run.adapter.kind,
            "parameters": published_parameters(setup.policy.adapters),
            "ranks": ranks_of(setup.policy.adapters),
        },
        "before": progress.before.evaluation,
        "after": after.evaluation,
        "examples": [
            old | {"after": new["answer"], "correct_after": new["correct"]}
            for old, new in zip(progress.before.examples, after.examples, strict=True)
        ],
    }
    folder.write_result(values)
    return Result(folder.path, values)


def summary(folder: Path, values: dict[str, Any]) -> list[str]:
    """The lines that end a run: the answer in numbers, one in words, where it lies and what to try next."""
    before, after = values["before"], values["after"]
    traits = "".join(
        f"; answers with {name.replace('_', ' ')} {100 * share:.0f} % -> {100 * after['traits'][name]:.0f} %"
        for name, share in before["traits"].items()
    )
    return [
        f"accuracy {_share(before)} -> {_share(after)} on {after['problems']} held-out problems{traits}; "
        f"{values['training_seconds']:.0f} s",
        *_example(values["examples"]),
        f"written to {folder}",
        "next:",
        *_next(quote(str(folder)), values["task"]),
    ]


def interrupted(folder: Path) -> list[str]:
    return [f"interrupted, and saved; go on with:  paring train --resume {quote(str(folder))}"]


def _next(folder: str, task: str) -> list[str]:
    """Commands to try, and what each is for."""
    commands = {
        f"paring samples {folder} --worst": "what it still gets wrong",
        f"paring eval {folder} --task {task}": "measure it again, or on another task",
        f"paring export {folder} --to DIR": "the adapter for PEFT, vLLM, ... (--merged: a whole model)",
    }
    width = max(map(len, commands))
    return [f"  {command:<{width}}  {purpose}" for command, purpose in commands.items()]


def _share(evaluation: dict[str, Any]) -> str:
    low, high = evaluation["interval"]
    return f"{100 * evaluation['accuracy']:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def _example(examples: list[dict[str, Any]]) -> list[str]:
    """The first answer that was wrong before and is right after, else the first one."""
    gained = [example for example in examples if example["correct_after"] and not example["correct"]]
    shown = (gained or examples)[0]
    return [
        f"  {name:<9} {visible(shown[key], LONGEST_ANSWER)}"
        for name, key in (("question", "question"), ("before", "answer"), ("after", "after"))
    ]
