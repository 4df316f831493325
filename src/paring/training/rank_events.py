"""The optimiser of a run, and its rank events: look, move ranks and the optimiser's state, give the journal its row."""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from paring.adapters.attach import Adapters, parameters_by_name, published_parameters
from paring.adapters.gates import GateRule
from paring.adapters.gradient_scores import GradientWatch
from paring.adapters.kinds import Adapter, Allocator, Dora, Gated, L1ra, Lora, Moving
from paring.adapters.moving import move_ranks
from paring.adapters.ranks import RankEvent
from paring.policy.model import Policy
from paring.policy.packing import PackedBatch
from paring.policy.sensitivity import seen_by
from paring.training.config import AnyRun
from paring.training.optim import Optimiser
from paring.types import Key

PROBE_TOKENS = 256
"""Tokens on which the change of the policy is measured, at most."""


def gate_rule(adapter: Adapter, updates: int) -> GateRule | None:
    """How the gates move in a run of so many updates; None where there are none."""
    return adapter.gate_rule(updates) if isinstance(adapter, Gated) else None


def watch_of(adapter: Adapter) -> GradientWatch | None:
    """What has to look at the gradients of each step; None where no rank event asks."""
    return adapter.watch() if isinstance(adapter, Allocator) else None


def optimiser_of(run: AnyRun, policy: Policy, updates: int) -> Optimiser:
    """The optimiser of a run of so many updates, over the policy's adapters."""
    return Optimiser(
        parameters_by_name(policy.adapters),
        run.optimiser,
        gate_rule(run.adapter, updates),
        watch_of(run.adapter),
        b_rate=run.adapter.b_rate if isinstance(run.adapter, Lora | Dora) else 1.0,
    )


def rank_event(
    adapter: Moving, policy: Policy, optimiser: Optimiser, probe: PackedBatch, *, step: int, steps: int, seed: int
) -> RankEvent:
    """The event after step `step` of `steps`: ranks move in place, and with them the optimiser's state. `probe` holds
    tokens of the step, on which components are measured, and the policy before and after compared."""
    old_MV = _predictions(policy, probe)
    event = move_ranks(
        adapter,
        policy.adapters,
        seen_by(policy, probe, seed=Key(seed, step).number()),
        optimiser,
        watch=optimiser.watch,
        fresh=optimiser.fresh,
        step=step,
        steps=steps,
        seed=seed,
        matrices_lr=optimiser.lr,
    )
    if isinstance(adapter, L1ra):
        optimiser.weigh(adapter.weights(event, steps))
    if not event.pruned:
        return replace(event, kl=0.0)
    # KL(old || new) in nats a token
    kl = functional.kl_div(_predictions(policy, probe), old_MV, log_target=True, reduction="batchmean")
    return replace(event, kl=max(0.0, float(kl)))


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


@torch.no_grad()
def _predictions(policy: Policy, probe: PackedBatch) -> Tensor:
    """log pi of every token of the vocabulary, at the first predicted positions: [M, V]."""
    with policy.whole():
        hidden_ND = policy.hidden(probe.token_N[None], probe.position_N[None], probe.layout)[0]
        return functional.log_softmax(policy.logits(hidden_ND[probe.predictor_M[:PROBE_TOKENS]]), dim=-1)
