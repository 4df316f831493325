"""Set-up before the first step: every fault of the user's is found here, before any work is done."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path

import torch

from paring.evaluation.pass_rates import training_problems
from paring.maths.objective import Objective
from paring.policy.chat import prompts_tokens
from paring.policy.model import Policy
from paring.policy.tokens import check_rows, embedding_rows
from paring.rollout.engine import Engine, Rollout, check_length
from paring.rollout.gap import SamplingGap, is_exact, sampling_gap
from paring.rollout.lagged import LaggedEngine
from paring.rollout.local import LocalEngine, check_decodes
from paring.rollout.served.served_engine import ServedEngine
from paring.rollout.teacher import Teacher
from paring.runtime.faults import RowFault, faults_in_words
from paring.runtime.memory import ask_for_large_pages
from paring.tasks.base import Task
from paring.tasks.mixture import Generated, Mixture, by_label, own_data_of
from paring.tasks.own_data import OwnData
from paring.training.config import Run
from paring.training.draws import problems_of_run
from paring.training.policy_of_run import Base, base_of_run, load_policy
from paring.training.run_engine import RunEngine, servers_of
from paring.training.sampler import check_sampler, sampler_of
from paring.training.task_checks import check_splits, check_weights
from paring.training.teaching import Teaching, open_teaching
from paring.training.world import ALONE, World
from paring.types import Json, Key, Problem

NOTE_SECONDS = 2.0
TOGETHER = 256
"""Prompts that are tokenised at once."""


@dataclass(frozen=True)
class Setup:
    """The policy, the task with the weights of its reward's parts, the problems it trains on and the objective.
    `engine` samples from the policy itself; `sampler` gives the answers that are trained on, a teacher's or those of
    the policy as it was when the sampler was last refreshed. `skipped`: rows of the user's that are left
    out; `left_out`: the ids of problems that are too long."""

    policy: Policy
    task: Task
    weights: Mapping[str, float]
    problems: Sequence[Problem]
    objective: Objective
    engine: RunEngine
    sampler: LaggedEngine
    skipped: Sequence[RowFault] = ()
    left_out: frozenset[str] = frozenset()
    gap: SamplingGap | None = None
    """The gap between sampling and training. None in fp32, and where the policy does not sample."""
    notes: Sequence[str] = ()
    """For the user."""
    teaching: Teaching | None = None
    """The teacher, where the objective has one."""

    @cached_property
    def parts(self) -> Mapping[str, Sequence[Problem]]:
        """The problems by the label of their task."""
        return by_label(self.task, self.problems)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Within it the folder of the run is this process's; afterwards no server keeps anything of the run."""
        if not isinstance(self.engine, ServedEngine):
            yield
            return
        try:
            self.engine.sweep()
            yield
        finally:
            self.engine.close()

    def measuring_engine(self) -> Engine:
        """What answers one measurement, as the policy is. Each process of a run calls it, since servers are given the
        policy by all of them together."""
        return self.engine.publish() if isinstance(self.engine, ServedEngine) else self.engine

    def serving_metrics(self, world: World) -> dict[str, float]:
        """Metrics of the servers for the journal, over all processes; nothing without any."""
        if not isinstance(self.engine, ServedEngine):
            return {}
        own = self.engine.tally.taken()
        gaps = world.joined(torch.tensor([own["canary_gap"]], dtype=torch.float64))
        [again] = world.sum(own["asked_again"])
        return own | {"canary_gap": float(gaps.max()), "asked_again": again}

    @property
    def first_metrics(self) -> dict[str, Json]:
        """What the journal says at the first step alone."""
        metrics: dict[str, Json] = {} if self.gap is None else {"sampling_gap": asdict(self.gap)}
        return metrics | ({"notes": list(self.notes)} if self.notes else {})


def prepare(run: Run, note: Callable[[str], object] = str, *, folder: Path = Path(), world: World = ALONE) -> Setup:
    """Read the data, load the model, attach the adapters, and check that every prompt of the run fits, and the servers
    that sample, if any do; where that takes long, it is said by `note`. `folder`: the run's; `world`: its processes,
    all of which call it.

    Raises ValueError, or FileNotFoundError for data that is not there."""
    data = world.together(lambda: _Data.of(run))
    base = world.together(lambda: base_of_run(run, world))  # the first passes of a divided base need all processes
    setup, put = world.together(lambda: _checked(run, note, data, base))
    if run.rollout.engine == "local":
        return setup
    engine = servers_of(run, setup.policy, put, folder, note, world)
    return replace(setup, engine=engine, sampler=sampler_of(run, setup.objective, setup.policy, engine))


@dataclass(frozen=True)
class _Data:
    """What a run reads beside its model."""

    objective: Objective
    problems: Sequence[Problem]
    tested: Sequence[Problem]
    validated: Sequence[Problem]

    @classmethod
    def of(cls, run: Run) -> "_Data":
        """Raises ValueError, or FileNotFoundError."""
        ask_for_large_pages()  # before an objective of the user's own is tried on tensors
        objective = run.objective.opened()
        objective.check(run.rollout.group_size)
        check_sampler(run, objective)
        problems, tested = training_problems(run.task, run.rollout.only), run.task.problems("test")
        validated = run.task.problems("validation") if run.evaluate.every or run.evaluate.validation_at_end else []
        if not problems or not tested:
            raise ValueError(f"task {run.task.name}: a split is empty, so there is nothing to train on or to measure")
        if not isinstance(run.task, Generated):
            check_splits(run.task, problems, [*tested, *validated])
        check_weights(run.task, run.rewards, [own[0] for own in by_label(run.task, problems).values()])
        return cls(objective, problems, tested, validated)


def _checked(run: Run, note: Callable[[str], object], data: _Data, base: Base) -> tuple[Setup, list[Problem]]:
    """All but the servers, and the problems that the run can put."""
    objective, problems, tested, validated = data.objective, data.problems, data.tested, data.validated
    policy, notes = load_policy(run, base)
    policy = policy if policy.is_sharded else check_decodes(policy)
    if run.rollout.only is not None:
        notes.append(f"problems are drawn from the {len(problems):,} of {run.rollout.only}")
    skipped = list(run.task.skipped()) if isinstance(run.task, OwnData | Mixture) else []
    long: dict[str, RowFault] = {}
    for own, theirs in own_data_of(run.task, chain(problems, tested, validated)):
        if own.long == "skip":
            long |= _too_long(policy, theirs, run.rollout.max_new_tokens, note)
    problems, tested, validated = (_without(part, long) for part in (problems, tested, validated))
    if not problems or not tested:
        raise ValueError(f"task {run.task.name}: no prompt is left: {faults_in_words(list(long.values()))}")
    held_out = [*tested[: run.evaluate.limit], *validated[: run.evaluate.validation_limit]]
    place = {"seed": run.seed, "steps": run.steps, "redraws": redraws(run.rollout, objective)}
    drawn = problems_of_run(run.task, problems, run.rollout.problems, **place)
    put = [*drawn, *held_out]
    if faults := list(_too_long(policy, put, run.rollout.max_new_tokens, note).values()):
        remedy = "; task.long=skip leaves such prompts out" if isinstance(run.task, OwnData | Mixture) else ""
        raise ValueError(f"{faults[0] if len(faults) == 1 else faults_in_words(faults)}{remedy}")
    teaching = open_teaching(objective, policy, run)
    if teaching and (faults := list(_too_long(teaching.policy, drawn, run.rollout.max_new_tokens, note).values())):
        raise ValueError(f"the teacher: {faults[0] if len(faults) == 1 else faults_in_words(faults)}")
    engine, gap = LocalEngine(policy, rows=run.rollout.rows), None
    if not objective.from_solutions and not is_exact(policy) and run.rollout.engine == "local":
        gap = sampling_gap(engine, policy, drawn, run.rollout.max_new_tokens)
        notes.append(str(gap))
    if objective.from_solutions:
        Teacher(policy).sample(drawn, 1, run.rollout.sampling, Key(run.seed, 0))
    sampler = sampler_of(run, objective, policy, engine)
    left_out, skipped = frozenset(long), [*skipped, *long.values()]
    given = policy, run.task, run.rewards, problems, objective, engine, sampler
    return Setup(*given, skipped, left_out, gap, notes, teaching), put


def redraws(rollout: Rollout, objective: Objective) -> int:
    """How often problems without signal are replaced in a step, at most: as the rollout says, or else the objective.
    Raises ValueError where nothing is sampled that could be."""
    if objective.from_solutions and rollout.redraws:
        raise ValueError(
            f"rollout.redraws = {rollout.redraws}: the objective learns from solutions and samples no answers that "
            "could be all right or all wrong; leave it out"
        )
    return objective.redraws if rollout.redraws is None else rollout.redraws


def _too_long(
    policy: Policy, problems: Sequence[Problem], max_new_tokens: int, note: Callable[[str], object]
) -> dict[str, RowFault]:
    """A fault, by the problem's id, for each prompt that leaves no room for an answer."""
    faults: dict[str, RowFault] = {}
    rows, context = embedding_rows(policy.model), policy.context
    said = time.monotonic()
    for start in range(0, len(problems), TOGETHER):
        if time.monotonic() - said > NOTE_SECONDS:
            said = time.monotonic()
            note(f"checking that prompts fit: {start:,} of {len(problems):,} done")
        chunk = problems[start : start + TOGETHER]
        prompts = prompts_tokens(policy.tokenizer, [problem.messages for problem in chunk])
        for problem, prompt in zip(chunk, prompts, strict=True):
            check_rows(prompt, rows, policy.tokenizer, f"problem {problem.id}: its prompt")
            try:
                check_length(problem, len(prompt), max_new_tokens, context)
            except ValueError as error:
                words = str(error).removeprefix(f"problem {problem.id}: ")
                faults[problem.id] = RowFault(problem.place or f"problem {problem.id}", "too long", words)
    return faults


def _without(problems: Sequence[Problem], left_out: Mapping[str, RowFault]) -> Sequence[Problem]:
    return [problem for problem in problems if problem.id not in left_out] if left_out else problems
