"""The rank event of L1RA: plan, apply, move the optimiser's state, and give the journal its row."""

import torch
from torch import Tensor
from torch.nn import functional

from paring.adapters.attach import Adapters, apply_plan, components_of, published_parameters
from paring.adapters.gates import GateRule
from paring.adapters.gradient_scores import GradientWatch
from paring.adapters.kinds import Adapter, Allocator, Gated, L1raReference, Moving
from paring.adapters.ranks import RankEvent, changes_the_function
from paring.policy.model import Policy
from paring.policy.packing import PackedBatch
from paring.training.allocation_event import allocation_event
from paring.training.change import predictions
from paring.training.optim import Optimiser


def gate_rule(adapter: Adapter, updates: int) -> GateRule | None:
    """How the gates move in a run of so many updates; None where there are none."""
    return adapter.gate_rule(updates) if isinstance(adapter, Gated) else None


def watch_of(adapter: Adapter) -> GradientWatch | None:
    """What has to look at the gradients of each step; None where no rank event asks."""
    return adapter.watch() if isinstance(adapter, Allocator) else None


def rank_event(
    adapter: Moving, policy: Policy, optimiser: Optimiser, probe: PackedBatch, *, step: int, steps: int, seed: int
) -> RankEvent:
    """The event after step `step` of `steps`: ranks move in place, and with them the optimiser's state. `probe` holds
    tokens of the step, on which the policy before and after is compared."""
    if isinstance(adapter, Allocator):
        return allocation_event(adapter, policy, optimiser, probe, step=step, steps=steps, seed=seed)
    before = components_of(policy.adapters)
    plan = adapter.plan(before, step=step, steps=steps, matrices_lr=optimiser.lr)
    old_MV = predictions(policy, probe) if changes_the_function(plan, before) else None
    apply_plan(policy.adapters, plan, adapter.draw, seed=seed, step=step)
    kl = 0.0
    if old_MV is not None:  # KL(old || new) in nats a token
        new_MV = predictions(policy, probe)
        kl = float(functional.kl_div(new_MV, old_MV, log_target=True, reduction="batchmean"))
    if isinstance(adapter, L1raReference) and plan.moves:
        optimiser.restart()
    else:
        optimiser.transplant(plan.moves)
    after, growth = components_of(policy.adapters), adapter.may_grow(step, steps)
    return RankEvent.of(step, before, plan, after, kl=kl, growth=growth)


def rank_metrics(adapters: Adapters) -> dict[str, float]:
    """The metrics of gated adapters; none for others."""
    gates: list[Tensor] = [adapter.c_R for adapter in adapters.values() if adapter.c_R is not None]
    if not gates:
        return {}
    gate_R = torch.cat(gates).detach()
    return {
        "gate": float(gate_R.mean()),
        "gates_at_zero": float((gate_R == 0).float().mean()),
        "adapter_parameters": published_parameters(adapters),
    }
