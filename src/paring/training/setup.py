"""What a run needs before its first step; every fault of the user's is found here, before any work is done."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import Parameter
from transformers import PreTrainedModel

from paring.adapters.attach import attach, parameters_by_name
from paring.adapters.kinds import Adapter, Lora, check_events
from paring.adapters.lowrank import LowRankLinear
from paring.adapters.peft_reading import attach_from_peft
from paring.config import AnyRun, Run, to_toml
from paring.policy.chat import prompt_tokens
from paring.policy.loading import load_base
from paring.policy.model import Policy
from paring.rollout.local import LocalEngine, check_length
from paring.runtime.machine import threads_for
from paring.runtime.memory import keep_freed_memory
from paring.runtime.screen import visible
from paring.training.order import items_of_step
from paring.types import Problem

LONGEST_PROMPT = 2000


@dataclass(frozen=True)
class Setup:
    """The policy, the engine that samples from it, and the problems it trains on."""

    policy: Policy
    engine: LocalEngine
    problems: Sequence[Problem]

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What is trained, by name."""
        return parameters_by_name(self.policy.adapters)

    def __str__(self) -> str:
        return in_words(self.policy)


def in_words(policy: Policy) -> str:
    """The size of a policy, and what of it is trained."""
    trained = sum(parameter.numel() for parameter in parameters_by_name(policy.adapters).values())
    ranks = {adapter.rank for adapter in policy.adapters.values()}
    told = f"rank {max(ranks)}" if len(ranks) == 1 else f"ranks {min(ranks)} to {max(ranks)}"
    return (
        f"{type(policy.model).__name__} of {policy.model.num_parameters() - trained:,} parameters, "
        f"{len(policy.adapters)} adapters of {told} with {trained:,}"
    )


def prepare(run: Run) -> Setup:
    """Read the data, load the model, attach the adapters, and check that every prompt of the run fits.

    Raises ValueError, or FileNotFoundError for data that is not there."""
    problems = run.task.problems("train")
    held_out = [*run.task.problems("test")[: run.evaluate.limit]]
    if run.evaluate.every or run.evaluate.validation_at_end:
        held_out += run.task.problems("validation")[: run.evaluate.validation_limit]
    if not problems or not held_out:
        raise ValueError(f"task {run.task.name}: a split is empty, so there is nothing to train on or to measure")
    policy = load_policy(run)
    _check_lengths(run, policy, problems, held_out)
    return Setup(policy, LocalEngine(policy, rows=run.rollout.rows), problems)


def load_policy(run: AnyRun) -> Policy:
    """The model with its adapters, on the run's threads. Raises ValueError."""
    check_events(run.adapter, run.steps)
    base, tokenizer = load_base(run.model)
    adapters = attach_adapters(base, run.adapter, seed=run.seed)
    keep_freed_memory()
    torch.set_num_threads(run.threads or threads_for(base.num_parameters()))
    return Policy(base, tokenizer, adapters, run.optimiser.activation_bytes)


def preview(run: Run) -> str:
    """What a run would do, with everything checked and nothing written. Raises as `prepare` does."""
    setup = prepare(run)
    problem = items_of_step(setup.problems, 1, seed=run.seed, step=1)[0]
    tokens = prompt_tokens(setup.policy.tokenizer, problem.messages)
    prompt = visible(setup.policy.tokenizer.decode(tokens), LONGEST_PROMPT)
    return "\n".join(
        [
            to_toml(run),
            f"# {setup}",
            f"# {len(setup.problems):,} training problems; the first prompt, of {len(tokens)} tokens:",
            *(f"#   {line}" for line in prompt.split("\n")),
            "# nothing was written",
        ]
    )


def attach_adapters(base: PreTrainedModel, adapter: Adapter, *, seed: int) -> dict[str, LowRankLinear]:
    """New adapters, or those of the folder `adapter.start`, whose ranks, scales and targets then hold.
    Raises ValueError."""
    if isinstance(adapter, Lora) and adapter.start is not None:
        return attach_from_peft(base, Path(adapter.start).expanduser())
    return attach(base, adapter, seed=seed)


def _check_lengths(run: Run, policy: Policy, problems: Sequence[Problem], held_out: Sequence[Problem]) -> None:
    """Only the problems that the run will draw, which may be few of many."""
    drawn = min(run.steps * run.rollout.problems, len(problems))
    for problem in [*items_of_step(problems, drawn, seed=run.seed, step=1), *held_out]:
        tokens = prompt_tokens(policy.tokenizer, problem.messages)
        check_length(problem, len(tokens), run.rollout.max_new_tokens, policy.context)
