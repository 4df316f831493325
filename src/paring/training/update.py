"""From scored groups to a moved policy: pack, log-probs, loss, gradient, and the guard before the step."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from paring.maths.objectives import LogProbs, Objective, Totals, importance_ratio, k3, per_token_mean
from paring.policy.model import Policy
from paring.policy.packing import PackedBatch, Shared, pack, packed_size
from paring.runtime.machine import Stopwatch
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


@dataclass
class Update:
    """What came of a rollout: optimiser steps applied, whether the guard dropped one, the completion tokens that a
    step trains on, and the last step's measures."""

    tokens: int
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
) -> Update:
    """Take `updates` optimiser steps along the objective on one rollout.

    The first step's own log-probs serve as the old ones, since the policy that sampled is the policy then, and as the
    reference's as long as no adapter changes anything. What lies below the first adapter is computed once. A step
    with a loss or gradient that is not finite is dropped, and with it the rest of the rollout's steps.
    `seed` is of the adapters' dropout; `watch` takes the time of the phases "reference" and "training"."""
    lengths = [len(completion.tokens) for group in groups for completion in group.completions]
    totals = Totals(sequences=len(lengths), tokens=sum(lengths))
    worth_PG = torch.ones_like(advantage_PG) if objective.kl_coef else advantage_PG
    passes = [
        Pass(pack(shared, policy.device), advantage_B.to(policy.device))
        for shared, advantage_B in cut(groups, advantage_PG, worth_PG != 0, tokens_per_pass)
    ]
    if objective.kl_coef or updates > 1:
        with watch("training"):
            for part in passes:
                part.trunk = policy.trunk(part.batch)
    if objective.kl_coef and not policy.is_its_reference:
        with watch("reference"):
            _add_reference(policy, passes, temperature)
    result = Update(tokens=sum(int(part.batch.mask_BT.sum()) for part in passes))
    with_signal = float((advantage_PG != 0).any(-1).float().mean())
    with watch("training"):
        while result.applied < updates and not result.dropped:
            optimiser.zero_grad()
            with torch.random.fork_rng():
                torch.manual_seed(seed + result.applied)
                result.measures = _backward(policy, passes, objective, totals, temperature)
            step_if_finite(optimiser, result, lr, with_signal)
    return result


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
        for completion, advantage, worth in zip(group.completions, advantage_G, worth_G, strict=True):
            if not worth:
                continue
            added = packed_size(0 if members else len(group.prompt), [len(completion.tokens)])
            if size and size + added > tokens_per_pass:
                yield shared, torch.tensor(advantages)
                shared, advantages, members, size = [], [], [], 0
                added = packed_size(len(group.prompt), [len(completion.tokens)])
            if not members:
                shared.append(Shared(group.prompt, members))
            members.append(completion.tokens)
            advantages.append(advantage)
            size += added
    if shared:
        yield shared, torch.tensor(advantages)


def _add_reference(policy: Policy, passes: list[Pass], temperature: float) -> None:
    """Log-probs with the adapters off."""
    with torch.no_grad(), policy.reference():
        for part in passes:
            part.reference_BT = policy.log_probs(part.batch, temperature=temperature, trunk=part.trunk)


def _backward(
    policy: Policy, passes: list[Pass], objective: Objective, totals: Totals, temperature: float
) -> dict[str, float]:
    """Add up the gradient over the passes; loss, KL, clip fraction and largest ratio."""
    sums = {"loss": 0.0, "clip_fraction": 0.0, "ratio_max": 1.0} | ({"kl": 0.0} if objective.kl_coef else {})
    with policy.training():
        for part in passes:
            mask_BT = part.batch.mask_BT
            policy_BT = policy.log_probs(part.batch, temperature=temperature, trunk=part.trunk)
            if part.old_BT is None:
                part.old_BT = policy_BT.detach()
            if objective.kl_coef and part.reference_BT is None:
                part.reference_BT = part.old_BT
            logp = LogProbs(policy_BT, part.old_BT, part.reference_BT)
            loss = objective(logp, part.advantage_B, mask_BT, totals)
            loss.backward()
            with torch.no_grad():
                sums["loss"] += float(loss)
                sums["clip_fraction"] += float(objective.clip_fraction(logp, part.advantage_B, mask_BT, totals))
                sums["ratio_max"] = max(sums["ratio_max"], float(importance_ratio(logp).max()))
                if objective.kl_coef:
                    sums["kl"] += float(per_token_mean(k3(part.reference_BT - policy_BT), mask_BT, totals))
    return sums
