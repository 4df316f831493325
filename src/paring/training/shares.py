"""The share of one process in a run: what it may not be, and the answers of others as they arrive."""

import sys
from dataclasses import asdict, dataclass

from pydantic import TypeAdapter

from paring.adapters.attach import Adapters
from paring.adapters.kinds import Dora
from paring.training.config import AnyRun, Run
from paring.types import Completion, Group, Json, Problem, Score

Answered = tuple[Group, list[Score]]
"""A group and the scores of its completions."""


def check_processes(run: AnyRun, processes: int) -> None:
    """Raises ValueError where the run cannot be divided among so many, before any work."""
    check_number(run, processes)
    check_shard(run)
    if run.parallel.shard != "none" and processes == 1:
        raise ValueError(
            'parallel.shard = "layers" in one process: there is no other to divide the base with; start several by '
            'torchrun (docs/processes.md), or set parallel.shard="none"'
        )
    if isinstance(run, Run) and run.rollout.engine == "served" and not run.rollout.servers and processes > 1:
        raise ValueError(
            f'rollout.engine = "served" with {processes} processes and no servers: only a process alone starts one; '
            "name some in rollout.servers"
        )


def check_shard(run: AnyRun) -> None:
    """Raises ValueError where the base of the run cannot be divided among processes, whatever their number."""
    if run.parallel.shard == "none":
        return
    if sys.platform == "win32":
        raise ValueError(
            'parallel.shard = "layers": torch does not divide models on Windows; set parallel.shard="none"'
        )
    if isinstance(run, Run) and run.rollout.engine == "local":
        raise ValueError(
            'parallel.shard = "layers" with rollout.engine = "local": a process that samples needs the whole base; set '
            'rollout.engine="served" and name servers in rollout.servers, or set parallel.shard="none"'
        )
    if run.model.quantisation != "none":
        raise ValueError(
            f'parallel.shard = "layers" with model.quantisation = "{run.model.quantisation}": quantised weights are '
            "not divided; leave one of them out"
        )
    if isinstance(run.adapter, Dora):
        raise ValueError(
            'parallel.shard = "layers" with adapter.kind = "dora": DoRA measures whole weights; take "lora"'
        )


def check_number(run: AnyRun, processes: int) -> None:
    """Raises ValueError where there are more processes than items of a step."""
    is_rl = isinstance(run, Run)
    name, items = ("rollout.problems", run.rollout.problems) if is_rl else ("batch", run.batch)
    if processes > items:
        raise ValueError(
            f"{processes} processes for {name} = {items}: some would have nothing to do; start {items} processes at "
            f"most, or raise {name}"
        )


def check_dropout(adapters: Adapters, processes: int) -> None:
    """Raises ValueError where what is dropped would depend on the number of processes."""
    if processes > 1 and any(adapter.dropout for adapter in adapters.values()):
        raise ValueError(
            f"adapter.dropout with {processes} processes: what is dropped would depend on how many they are; set it "
            "to 0, or train with one process"
        )


@dataclass(frozen=True)
class _ToldAnswers:
    """The part of a problem that one process sends to the others."""

    prompt: tuple[int, ...]
    completions: tuple[Completion, ...]
    scores: list[Score]


_TOLD = TypeAdapter(_ToldAnswers)


def plain_answered(answered: Answered) -> Json:
    """As JSON. Where the engine has kept its forward pass stays with its process."""
    group, scores = answered
    return asdict(_ToldAnswers(group.prompt, group.completions, scores))


def read_answered(problem: Problem, plain: Json) -> Answered:
    """The inverse of `plain_answered`, which another process of this run has called."""
    told = _TOLD.validate_python(plain)  # validate_json takes no lone surrogate
    return Group(problem, told.prompt, told.completions), told.scores
