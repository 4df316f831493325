"""The policy that a run trains: its base, divided among processes or whole, and the adapters on it."""

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from paring.adapters import coverage
from paring.adapters.attach import parameters_by_name, state
from paring.adapters.beginning import Beginning
from paring.adapters.fixed_ranks import stated_ranks
from paring.adapters.kinds import Lora, check_events
from paring.policy.loading import load_base
from paring.policy.model import Policy
from paring.policy.sharding import held_in_words
from paring.runtime.machine import all_cpus, most_threads, threads_for
from paring.runtime.memory import keep_freed_memory
from paring.training.config import AnyRun
from paring.training.start import attach_adapters
from paring.training.world import ALONE, World

Base = tuple[PreTrainedModel, PreTrainedTokenizerBase]


def base_of_run(run: AnyRun, world: World = ALONE) -> Base:
    """The base and its tokenizer, after what can be checked before them. Among several processes it is divided where
    the run says so. Raises ValueError."""
    check_events(run.adapter, run.steps)
    if run.threads > (most := most_threads()):
        raise ValueError(f"threads = {run.threads}: at most {most} with {all_cpus()} CPUs; 0 takes the best")
    if isinstance(run.adapter, Lora) and run.adapter.ranks is not None:
        stated_ranks(run.adapter.ranks)  # a file that cannot be read is found before the model is
    return load_base(run.model, divided=run.parallel.shard == "layers" and world.size > 1)


def load_policy(run: AnyRun, loaded: Base | None = None) -> tuple[Policy, list[str]]:
    """The base, which may be loaded already, with its adapters, on the run's threads; and notes for the user. Raises
    ValueError."""
    base, tokenizer = loaded or base_of_run(run)
    adapters, notes = attach_adapters(base, run)
    keep_freed_memory()
    torch.set_num_threads(run.threads or threads_for(base.num_parameters()))
    begun = {name: value.clone() for name, value in state(adapters).items()}
    start = begun if isinstance(run.adapter, Beginning) and run.adapter.reference == "start" else None
    policy = Policy(base, tokenizer, adapters, run.optimiser.activation_bytes, start=start)
    return policy, [*notes, held_in_words(base)] if policy.is_sharded else notes


def in_words(policy: Policy) -> str:
    """The size of a policy, what of it is trained, and what of it has no adapter."""
    trained = sum(parameter.numel() for parameter in parameters_by_name(policy.adapters).values())
    ranks = {adapter.rank for adapter in policy.adapters.values()}
    rank_words = f"rank {max(ranks)}" if len(ranks) == 1 else f"ranks {min(ranks)} to {max(ranks)}"
    return (
        f"{type(policy.model).__name__} of {policy.model.num_parameters() - trained:,} parameters, "
        f"{len(policy.adapters)} adapters of {rank_words} with {trained:,} "
        f"{coverage.in_words(coverage.coverage(policy.model))}"
    ) + ("" if policy.unpacked is None else f"; {policy.pace}")
