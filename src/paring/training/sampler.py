"""The engine whose answers are trained on: how old its policy is, and which objectives may learn from it."""

from dataclasses import replace

from paring.adapters.kinds import Dora
from paring.maths.objective import Objective
from paring.policy.model import Policy
from paring.policy.recording import Recording
from paring.rollout.engine import Engine
from paring.rollout.lagged import LaggedEngine
from paring.rollout.local import LocalEngine
from paring.rollout.teacher import Teacher
from paring.training.config import Run


def sampler_of(run: Run, objective: Objective, policy: Policy, engine: Engine) -> LaggedEngine:
    """Solutions come from no policy, so none can be older than the one trained."""
    if objective.from_solutions:
        return LaggedEngine(Teacher(policy), policy.adapters)
    if isinstance(engine, LocalEngine):
        # A recording is replayed through A and B alone.
        records = run.record_bytes and not isinstance(run.adapter, Dora)
        engine = replace(engine, recording=Recording(run.record_bytes) if records else None)
    return LaggedEngine(engine, policy.adapters, run.rollout.sync_every, run.rollout.ahead)


def check_sampler(run: Run, objective: Objective) -> None:
    """Raises ValueError where the objective cannot learn from what samples."""
    rollout, kind = run.rollout, run.objective.kind
    if objective.from_solutions:
        given = {
            "truncate_ratio": (rollout.truncate_ratio, "off"),
            "ahead": (rollout.ahead, 0),
            "old_logprobs": (rollout.old_logprobs, "recomputed"),
        }
        for name, (value, default) in given.items():
            if value != default:
                raise ValueError(
                    f"rollout.{name} = {value}: {kind} learns from worked solutions, which no policy has sampled; "
                    f"leave it at {default!r}"
                )
    elif rollout.ahead and not objective.knows_old and not rollout.importance:
        raise ValueError(
            f"rollout.ahead = {rollout.ahead}: {kind} has no ratio to the policy that sampled, so it needs answers of "
            "the policy that is trained. Set rollout.truncate_ratio=2, which weighs older answers, or take ahead=0, or "
            "an objective with a ratio such as grpo"
        )
    elif rollout.old_logprobs == "sampler" and rollout.importance and objective.knows_old:
        raise ValueError(
            f"rollout.truncate_ratio = {rollout.truncate_ratio} with old_logprobs = sampler: the ratio of {kind} is "
            "then that to the sampler, and every weight would be 1; leave one out"
        )
