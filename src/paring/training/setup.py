"""What a run needs before its first step; every fault of the user's is found here, before any work is done."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import Parameter

from paring.adapters.attach import Lora, attach, parameters_by_name
from paring.adapters.peft_format import attach_from_peft
from paring.config import Run
from paring.policy.chat import prompt_tokens
from paring.policy.loading import load_base
from paring.policy.model import Policy
from paring.rollout.local import LocalEngine, check_length
from paring.training.order import problems_of_step
from paring.types import Problem


@dataclass(frozen=True)
class Setup:
    """The policy, the engine that samples from it, the problems it trains on, and the settings of its adapters."""

    policy: Policy
    engine: LocalEngine
    problems: Sequence[Problem]
    lora: Lora

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What is trained, by name."""
        return parameters_by_name(self.policy.adapters)

    def __str__(self) -> str:
        trained = sum(parameter.numel() for parameter in self.parameters.values())
        model = self.policy.model
        return (
            f"{type(model).__name__} of {model.num_parameters() - trained:,} parameters, "
            f"{len(self.policy.adapters)} adapters of rank {self.lora.rank} with {trained:,}"
        )


def prepare(run: Run) -> Setup:
    """Read the data, load the model, attach the adapters, and check that every prompt of the run fits.

    Raises ValueError, or FileNotFoundError for data that is not there."""
    if run.threads:
        torch.set_num_threads(run.threads)
    problems = run.task.problems("train")
    held_out = [*run.task.problems("test")[: run.evaluate.limit]]
    if run.evaluate.every:
        held_out += run.task.problems("validation")[: run.evaluate.validation_limit]
    if not problems or not held_out:
        raise ValueError(f"task {run.task.name}: a split is empty, so there is nothing to train on or to measure")
    base, tokenizer = load_base(run.model)
    if run.adapter.start is None:
        adapters, lora = attach(base, run.adapter, seed=run.seed), run.adapter
    else:
        adapters, lora = attach_from_peft(base, Path(run.adapter.start))
    policy = Policy(base, tokenizer, adapters)
    _check_lengths(run, policy, problems, held_out)
    return Setup(policy, LocalEngine(policy), problems, lora)


def _check_lengths(run: Run, policy: Policy, problems: Sequence[Problem], held_out: Sequence[Problem]) -> None:
    """Only the problems that the run will draw, which may be few of many."""
    drawn = min(run.steps * run.rollout.problems, len(problems))
    for problem in [*problems_of_step(problems, drawn, seed=run.seed, step=1), *held_out]:
        tokens = prompt_tokens(policy.tokenizer, problem.messages)
        check_length(problem, len(tokens), run.rollout.max_new_tokens, policy.context)
