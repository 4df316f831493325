"""The end of a run: its adapter, its result.json, and what to tell the user."""

from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

import torch

from paring.adapters.attach import published_parameters, ranks_of
from paring.adapters.peft_format import write_peft_folder
from paring.config import AnyRun
from paring.policy.loading import base_name
from paring.runtime.files import staged_folder
from paring.runtime.folder import RunFolder, check_free
from paring.runtime.machine import peak_memory_gb, versions
from paring.runtime.screen import Screen
from paring.runtime.text import visible
from paring.training.progress import AnySetup, Examined, Progress, check_same_run

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


def result_so_far(folder: RunFolder, run: AnyRun, *, resume: bool, screen: Screen) -> Result | None:
    """The result of a run that is to be resumed and has come to its end already, else None.

    Raises ValueError where the folder holds another run, or is not free for a new one."""
    check_same_run(folder, run) if resume else check_free(folder.path)
    values = folder.read_result() if resume else None
    if values is None:
        return None
    screen.note(f"{folder.path} has come to its end already")
    return Result(folder.path, values)


def finished(
    run: AnyRun,
    named: dict[str, str],
    folder: RunFolder,
    setup: AnySetup,
    progress: Progress,
    after: Examined,
    found: dict[str, Any] | None = None,
) -> Result:
    """Publish the adapter and write result.json, the last file of a run; it begins with what is `named`, and what else
    was `found` follows the two evaluations."""
    with staged_folder(folder.adapter) as staging:
        write_peft_folder(staging, setup.policy.adapters, base_model=base_name(run.model.path))
    values = {
        **named,
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
        **(found or {}),
        "examples": [
            old | {"after": new["answer"], "correct_after": new["correct"]}
            for old, new in zip(progress.before.examples, after.examples, strict=True)
        ],
    }
    folder.write_result(values)
    return Result(folder.path, values)


def summary(folder: Path, values: dict[str, Any]) -> list[str]:
    """The lines that end a run: the answer in numbers, one in words, where it lies and what to try next."""
    name = quote(str(folder))
    answer, following = _of_sft(name, values) if values.get("method") == "sft" else _of_rl(name, values)
    if values["adapter"]["kind"] != "lora":
        answer.append(_of_ranks(values["adapter"]))
        following = {f"paring ranks {name}": "where its ranks went, and why"} | following
    return [*answer, f"written to {folder}", "next:", *_in_columns(following)]


def _of_ranks(adapter: dict[str, Any]) -> str:
    ranks = adapter["ranks"].values()
    return f"ranks {min(ranks)} to {max(ranks)}, {sum(ranks)} in all, {adapter['parameters']:,} parameters"


def _of_sft(folder: str, values: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
    """What a supervised run came to, and the commands to try next, each with what it is for."""
    before, after = values["before"], values["after"]
    perplexity = f"perplexity {before['perplexity']:.4g} -> {after['perplexity']:.4g}"
    answer = (
        f"held-out loss {before['loss']:.4f} -> {after['loss']:.4f} nats a token ({perplexity}) "
        f"on {after['examples']} examples; {values['training_seconds']:.0f} s"
    )
    return [answer], {f"paring eval {folder} --task TASK": "measure its answers"} | _export(folder)


def _of_rl(folder: str, values: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
    """The same of a run of reinforcement learning."""
    before, after = values["before"], values["after"]
    traits = "".join(
        f"; answers with {name.replace('_', ' ')} {100 * share:.0f} % -> {100 * after['traits'][name]:.0f} %"
        for name, share in before["traits"].items()
    )
    answer = [
        f"accuracy {_share(before)} -> {_share(after)} on {after['problems']} held-out problems{traits}; "
        f"{values['training_seconds']:.0f} s",
        *_example(values["examples"]),
    ]
    return answer, {
        f"paring samples {folder} --worst": "what it still gets wrong",
        f"paring eval {folder} --task {values['task']}": "measure it again, or on another task",
    } | _export(folder)


def interrupted(folder: Path) -> list[str]:
    return [f"interrupted, and saved; go on with:  paring train --resume {quote(str(folder))}"]


def _export(folder: str) -> dict[str, str]:
    return {f"paring export {folder} --to DIR": "the adapter for PEFT, vLLM, ... (--merged: a whole model)"}


def _in_columns(commands: dict[str, str]) -> list[str]:
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
