"""The rank event of adapters whose budget is shared out by the rule of another paper."""

from torch.nn import functional

from paring.adapters.allocators import Allocator
from paring.adapters.attach import apply_plan, ranks_of
from paring.adapters.ranks import RankEvent
from paring.policy.model import Policy
from paring.policy.packing import PackedBatch
from paring.training.change import predictions
from paring.training.optim import Optimiser


def allocation_event(
    adapter: Allocator, policy: Policy, optimiser: Optimiser, probe: PackedBatch, *, step: int, steps: int, seed: int
) -> RankEvent:
    """The event after step `step` of `steps`: ranks move in place, and with them the optimiser's state. `probe` holds
    tokens of the step, on which the policy before and after is compared."""
    adapters, watch = policy.adapters, optimiser.watch
    assert watch is not None
    features = {path: (one.in_features, one.out_features) for path, one in adapters.items()}
    before = ranks_of(adapters)
    plan = adapter.plan(features, before, watch, step=step, steps=steps, seed=seed)
    old_MV = predictions(policy, probe)
    apply_plan(adapters, plan, adapter.draw, seed=seed, step=step)
    optimiser.transplant(plan.moves)
    kl = functional.kl_div(predictions(policy, probe), old_MV, log_target=True, reduction="batchmean")
    strength = {path: one.strength_R() for path, one in adapters.items()}
    lost = {path: before[path] - len(move.kept) for path, move in plan.moves.items()}
    return RankEvent(
        step=step,
        ranks=ranks_of(adapters),
        unassigned=plan.unassigned,
        pruned={path: count for path, count in lost.items() if count},
        grown={path: move.grown for path, move in plan.moves.items() if move.grown},
        importance={path: float(one.mean()) if len(one) else 0.0 for path, one in strength.items()},
        cost={path: sum(sides) for path, sides in features.items()},
        kl=float(kl) if any(lost.values()) else 0.0,
        growth=any(move.grown for move in plan.moves.values()),
    )
