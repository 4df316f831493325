"""From scored groups to a moved policy: pack, log-probs, loss, gradient, and the guard before the step."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from paring.maths.objective import Objective
from paring.maths.reducers import Totals
from paring.maths.surrogates import LogProbs
from paring.policy.model import Policy
from paring.policy.packing import PackedBatch, Shared, pack, packed_size
from paring.runtime.machine import Stopwatch
from paring.training.measures import Measures, kl_of_sample
from paring.training.optim import Optimiser
from paring.types import Group


@dataclass
class Pass:
    """One micro-batch: packed completions, what each is worth, and its log-probs once they are known."""

    batch: PackedBatch
    advantage_B: Tensor
    trunk: Tensor | None = None
    reference_BT: Tensor | None = None
    old_BT: Tensor | None = None


@dataclass(frozen=True)
class Minibatch:
    """What one optimiser step is made from: its passes, its size, and the share of its problems with a signal."""

    passes: list[Pass]
    totals: Totals
    signal: float

    @classmethod
    def of(
        cls,
        policy: Policy,
        groups: Sequence[Group],
        advantage_PG: Tensor,
        worth_PG: Tensor,
        selected_PG: Tensor,
        *,
        longest: int,
        tokens_per_pass: int,
    ) -> "Minibatch":
        passes = [
            Pass(pack(shared, policy.device), advantage_B.to(policy.device))
            for shared, advantage_B in cut(groups, advantage_PG, worth_PG, tokens_per_pass)
        ]
        signal = float((advantage_PG != 0).any(-1).float().mean())
        return cls(passes, totals_of(groups, selected_PG, longest), signal)


@dataclass
class Update:
    """What came of a rollout: the completion tokens that a pass over it trains on, how many passes were begun,
    optimiser steps applied, whether the guard dropped one, and the measures of the last pass."""

    tokens: int
    passes: int = 1
    applied: int = 0
    dropped: bool = False
    measures: dict[str, float] = field(default_factory=dict)


def improve(
    policy: Policy,
    optimiser: Optimiser,
    groups: Sequence[Group],
    advantage_PG: Tensor,
    objective: Objective,
    *,
    temperature: float,
    lr: float,
    updates: int,
    tokens_per_pass: int,
    seed: int,
    watch: Stopwatch,
    minibatches: int = 1,
    selected_PG: Tensor | None = None,
    longest: int = 1,
    as_sampled: Callable[[], AbstractContextManager[None]] | None = None,
) -> Update:
    """Go `updates` times through a rollout, each time with one optimiser step along the objective a minibatch.

    The first step's own log-probs serve as the old ones, since the policy that sampled is the policy then, and as the
    reference's as long as no adapter changes anything. Those of later minibatches are taken before the first step.
    Where the policy that sampled is an older one, `as_sampled` gives it back for a pass of its own. What lies below
    the first adapter is computed once. A step with a loss or gradient that is not finite is dropped, and with it the
    rest of the rollout's steps. Until the policy has moved, its forward pass is that of the rollout, where that was
    recorded. `selected_PG` and `longest`: see Objective and Totals. `seed` is of the adapters'
    dropout; `watch` takes the time of the phases "reference" and "training"."""
    if selected_PG is None:
        selected_PG = torch.ones_like(advantage_PG, dtype=torch.bool)
    keeps_all = bool(objective.kl_coef) or objective.learns_from_zero
    worth_PG = torch.ones_like(selected_PG) if keeps_all else advantage_PG != 0
    parts = [
        Minibatch.of(
            *(policy, groups[rows], advantage_PG[rows], worth_PG[rows], selected_PG[rows]),
            longest=longest,
            tokens_per_pass=tokens_per_pass,
        )
        for rows in slices(len(groups), minibatches)
    ]
    passes = [one for part in parts for one in part.passes]
    with watch("training"):
        if objective.kl_coef or updates * minibatches > 1 or as_sampled:
            for one in passes:
                one.trunk = policy.trunk(one.batch)
        with as_sampled() if as_sampled else nullcontext():
            later = passes if as_sampled else passes[len(parts[0].passes) :]
            _add_old(policy, later, temperature, replay=not as_sampled)
    if objective.kl_coef and (as_sampled or not policy.is_its_reference):
        with watch("reference"):
            _add_reference(policy, passes, temperature)
    result = Update(tokens=sum(int(one.batch.mask_BT.sum()) for one in passes))
    whole = totals_of(groups, selected_PG, longest)
    with watch("training"):
        for number in range(1, updates + 1):
            sampled = number == updates and not objective.kl_coef
            kl = {"kl": kl_of_sample(policy, groups, temperature)} if sampled else {}
            measures = Measures(objective, whole, minibatches)
            result.passes = number
            for part in parts:
                optimiser.zero_grad()
                with torch.random.fork_rng():
                    torch.manual_seed(seed + result.applied)
                    replay = result.applied == 0 and not as_sampled
                    _backward(policy, part, objective, temperature, measures, replay=replay)
                result.measures = measures.as_plain() | kl
                step_if_finite(optimiser, result, lr, part.signal)
                if result.dropped:
                    return result
    return result


def slices(problems: int, minibatches: int) -> list[slice]:
    """So many runs of problems, in order, whose sizes differ by one at most."""
    bounds = [problems * number // minibatches for number in range(minibatches + 1)]
    return [slice(start, end) for start, end in pairwise(bounds)]


def totals_of(groups: Sequence[Group], selected_PG: Tensor, longest: int) -> Totals:
    """The size of what the loss is a mean over; of nothing it is 1, and the mean 0."""
    chosen = [
        len(completion.tokens)
        for group, selected_G in zip(groups, selected_PG.tolist(), strict=True)
        for completion, selected in zip(group.completions, selected_G, strict=True)
        if selected
    ]
    return Totals(sequences=max(1, len(chosen)), tokens=max(1, sum(chosen)), longest=longest)


def step_if_finite(optimiser: Optimiser, update: Update, lr: float, signal: float = 1.0) -> None:
    """The guard before the step: a loss or gradient that is not finite drops it, before anything has moved. `signal` is
    the share of the batch that had something to teach: see GateRule."""
    update.measures["grad_norm"] = optimiser.clip()
    update.dropped = not all(math.isfinite(update.measures[name]) for name in ("loss", "grad_norm"))
    if not update.dropped:
        optimiser.step(lr, signal)
        update.applied += 1


def cut(
    groups: Sequence[Group], advantage_PG: Tensor, worth_PG: Tensor, tokens_per_pass: int
) -> Iterator[tuple[list[Shared], Tensor]]:
    """Cut the groups into passes of at most `tokens_per_pass` packed tokens (a single completion may take more).

    A group that does not fit is continued in the next pass, where its prompt stands again. Completions that are not
    worth a pass, of advantage 0 where no KL asks for them, are left out: their gradient is 0."""
    shared: list[Shared] = []
    advantages: list[float] = []
    size = 0
    for group, advantage_G, worth_G in zip(groups, advantage_PG.tolist(), worth_PG.tolist(), strict=True):
        members: list[tuple[int, ...]] = []
        trace = group.trace and group.trace.of_prompt()
        for member, (advantage, worth) in enumerate(zip(advantage_G, worth_G, strict=True)):
            if not worth:
                continue
            completion = group.completions[member]
            added = packed_size(0 if members else len(group.prompt), [len(completion.tokens)])
            if size and size + added > tokens_per_pass:
                yield shared, torch.tensor(advantages)
                shared, advantages, members, size = [], [], [], 0
                trace = group.trace and group.trace.of_prompt()
                added = packed_size(len(group.prompt), [len(completion.tokens)])
            if not members:
                shared.append(Shared(group.prompt, members, trace))
            members.append(completion.tokens)
            if trace:
                trace.completions.append(group.trace.completions[member])
            advantages.append(advantage)
            size += added
    if shared:
        yield shared, torch.tensor(advantages)


@torch.no_grad()
def _add_reference(policy: Policy, passes: list[Pass], temperature: float) -> None:
    """Log-probs with the adapters off."""
    with policy.reference():
        for one in passes:
            one.reference_BT = policy.log_probs(one.batch, temperature=temperature, trunk=one.trunk)


@torch.no_grad()
def _add_old(policy: Policy, passes: list[Pass], temperature: float, *, replay: bool) -> None:
    """Log-probs of the policy as it is now. `replay`: see Policy.log_probs."""
    for one in passes:
        one.old_BT = policy.log_probs(one.batch, temperature=temperature, trunk=one.trunk, replay=replay)


def _backward(
    policy: Policy,
    minibatch: Minibatch,
    objective: Objective,
    temperature: float,
    measures: Measures,
    *,
    replay: bool,
) -> None:
    """Add up the gradient over the passes of a minibatch, and what is measured of them. `replay`: see
    Policy.log_probs."""
    with policy.training():
        for one in minibatch.passes:
            mask_BT = one.batch.mask_BT
            policy_BT = policy.log_probs(one.batch, temperature=temperature, trunk=one.trunk, replay=replay)
            if one.old_BT is None:
                one.old_BT = policy_BT.detach()
            if objective.kl_coef and one.reference_BT is None:
                one.reference_BT = one.old_BT
            logp = LogProbs(policy_BT, one.old_BT, one.reference_BT)
            loss = objective(logp, one.advantage_B, mask_BT, minibatch.totals)
            loss.backward()
            measures.add(logp, one.advantage_B, mask_BT, loss)
