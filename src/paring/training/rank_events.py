"""The rank event of L1RA: plan, apply, move the optimiser's state, and tell the journal what became of it."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from paring.adapters.attach import Adapters, apply_plan, components_of, published_parameters
from paring.adapters.gates import GateRule
from paring.adapters.kinds import Adapter, Gated, L1raReference
from paring.adapters.ranks import changes_the_function, event_record
from paring.config import AnyRun
from paring.policy.model import Policy
from paring.policy.packing import PackedBatch
from paring.training.optim import Optimiser

PROBE_TOKENS = 256
"""Tokens on which the change of the policy is measured, at most."""


def gate_rule(adapter: Adapter, updates: int) -> GateRule | None:
    """How the gates move in a run of so many updates; None where there are none."""
    return adapter.gate_rule(updates) if isinstance(adapter, Gated) else None


def event_is_due(run: AnyRun, step: int) -> bool:
    """Whether ranks move after step `step`."""
    return isinstance(run.adapter, Gated) and run.adapter.is_event(step, run.steps)


def rank_event(run: AnyRun, policy: Policy, optimiser: Optimiser, probe: PackedBatch, step: int) -> dict[str, Any]:
    """The event after step `step`: ranks move in place, and with them the optimiser's state. Returns the row of
    ranks.jsonl. `probe` holds tokens of the step, on which the policy before and after is compared."""
    adapter, adapters = run.adapter, policy.adapters
    before = components_of(adapters)
    plan = adapter.plan(before, step=step, steps=run.steps, matrices_lr=run.optimiser.lr)
    changes = changes_the_function(plan, before)
    old_MV = _predictions(policy, probe) if changes else None
    apply_plan(adapters, plan, adapter.draw, seed=run.seed, step=step)
    kl = _mean_kl(old_MV, _predictions(policy, probe)) if changes else 0.0
    if isinstance(adapter, L1raReference) and plan.moves:
        optimiser.restart()
    else:
        optimiser.transplant(plan.moves)
    grows = adapter.may_grow(step, run.steps)
    return {"step": step} | event_record(before, plan, components_of(adapters)) | {"kl": kl, "growth": grows}


def rank_metrics(adapters: Adapters) -> dict[str, float]:
    """What the journal says of gated adapters each step; nothing of others."""
    gates = [adapter.c_R for adapter in adapters.values() if adapter.c_R is not None]
    if not gates:
        return {}
    gate_R = torch.cat(gates).detach()
    return {
        "gate": float(gate_R.mean()),
        "gates_at_zero": float((gate_R == 0).float().mean()),
        "adapter_parameters": published_parameters(adapters),
    }


@torch.no_grad()
def _predictions(policy: Policy, probe: PackedBatch) -> Tensor:
    """log pi of every token of the vocabulary, at the first predicted positions: [M, V]."""
    hidden_ND = policy.hidden(probe.token_N[None], probe.position_N[None], probe.layout)[0]
    return functional.log_softmax(policy.logits(hidden_ND[probe.predictor_M[:PROBE_TOKENS]]), dim=-1)


def _mean_kl(old_MV: Tensor, new_MV: Tensor) -> float:
    """KL(old || new) in nats a token."""
    return float(functional.kl_div(new_MV, old_MV, log_target=True, reduction="batchmean"))
