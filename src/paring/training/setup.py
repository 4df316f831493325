"""What a run needs before its first step; every fault of the user's is found here, before any work is done."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import Parameter
from transformers import PreTrainedModel

from paring.adapters.attach import attach, load_state, parameters_by_name, state
from paring.adapters.kinds import Adapter, Lora, check_events
from paring.adapters.lowrank import LowRankLinear
from paring.adapters.peft_reading import attach_from_peft
from paring.config import AnyRun, Run, to_toml
from paring.maths.objective import Objective
from paring.policy.chat import prompt_tokens
from paring.policy.loading import load_base
from paring.policy.model import Policy
from paring.policy.recording import Recording
from paring.rollout.engine import Engine
from paring.rollout.local import LocalEngine, check_length
from paring.rollout.teacher import Teacher
from paring.runtime.machine import threads_for
from paring.runtime.memory import ask_for_large_pages, keep_freed_memory
from paring.runtime.text import visible
from paring.training.draws import items_of_step
from paring.training.staleness import SamplingPolicy
from paring.types import Key, Problem

LONGEST_PROMPT = 2000


@dataclass(frozen=True)
class Setup:
    """The policy, the objective it follows, and the problems it trains on. `engine` samples from it; `source` gives the
    answers that are trained on: such an engine, from the policy that `sampling` remembers, or a teacher."""

    policy: Policy
    engine: LocalEngine
    problems: Sequence[Problem]
    objective: Objective
    source: Engine
    sampling: SamplingPolicy

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What is trained, by name."""
        return parameters_by_name(self.policy.adapters)

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """What a checkpoint holds of them, by file and name."""
        sampler = self.sampling.tensors()
        return {"adapter": state(self.policy.adapters)} | ({"sampler": sampler} if sampler else {})

    def load_tensors(self, tensors: dict[str, dict[str, Tensor]]) -> None:
        """Take over what `tensors` gave. Raises ValueError where they do not fit."""
        load_state(self.policy.adapters, tensors["adapter"])
        self.sampling.load_tensors(tensors.get("sampler", {}))

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
    ask_for_large_pages()  # before an objective of the user's own is tried on tensors
    objective = run.objective.opened()
    problems = run.task.problems("train")
    held_out = [*run.task.problems("test")[: run.evaluate.limit]]
    if run.evaluate.every or run.evaluate.validation_at_end:
        held_out += run.task.problems("validation")[: run.evaluate.validation_limit]
    if not problems or not held_out:
        raise ValueError(f"task {run.task.name}: a split is empty, so there is nothing to train on or to measure")
    _check_rewards(run, problems[0])
    policy = load_policy(run)
    drawn = _drawn(run, problems, all_of_them=objective.redraws > 0)
    _check_lengths(run, policy, [*drawn, *held_out])
    engine = LocalEngine(policy, rows=run.rollout.rows)
    if objective.from_solutions:
        Teacher(policy).sample(drawn, 1, run.rollout.sampling, Key(run.seed, 0))
        # The solutions come from no policy, so none can be older than the one trained.
        return Setup(policy, engine, problems, objective, Teacher(policy), SamplingPolicy(policy.adapters, every=1))
    source = replace(engine, recording=Recording(run.record_bytes) if run.record_bytes else None)
    return Setup(policy, engine, problems, objective, source, SamplingPolicy(policy.adapters, run.rollout.sync_every))


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


def _drawn(run: Run, problems: Sequence[Problem], *, all_of_them: bool) -> Sequence[Problem]:
    """The problems that the run will draw, which may be few of many; all where any may be drawn in place of others."""
    count = min(run.steps * run.rollout.problems, len(problems))
    return problems if all_of_them else items_of_step(problems, count, seed=run.seed, step=1)


def _check_lengths(run: Run, policy: Policy, problems: Sequence[Problem]) -> None:
    for problem in problems:
        tokens = prompt_tokens(policy.tokenizer, problem.messages)
        check_length(problem, len(tokens), run.rollout.max_new_tokens, policy.context)


def _check_rewards(run: Run, problem: Problem) -> None:
    """A task gives the same parts whatever the text, so those of an empty one are all."""
    parts = run.task.score(problem, "").parts if run.rewards else {}
    for name in run.rewards:
        if name not in parts:
            known = ", ".join(parts)
            raise ValueError(f"rewards.{name}: the rewards of task {run.task.name} have no such part, only {known}")
