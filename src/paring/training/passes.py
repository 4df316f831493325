"""The passes of an optimiser step, and a look at all their tokens before it is taken."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from paring.maths.logprobs import TeacherStates
from paring.maths.objective import LogProbs, Objective
from paring.maths.selection import TokensOfBatch
from paring.policy.model import Policy
from paring.policy.packing import PackedBatch, Shared, pack
from paring.runtime.interruption import finishing
from paring.training.world import ALONE, World

T = TypeVar("T")


@dataclass
class Pass:
    """One micro-batch: packed completions, what each is worth, and its log-probs once they are known."""

    batch: PackedBatch
    advantage_B: Tensor
    sampled_BT: Tensor | None = None
    """The log-probs at which the tokens were sampled; None of worked solutions, which nobody has sampled."""
    trunk: Tensor | None = None
    reference_BT: Tensor | None = None
    old_BT: Tensor | None = None
    teacher: TeacherStates | None = None
    teacher_BT: Tensor | None = None
    entropy_BT: Tensor | None = None
    """Exact, and without a gradient."""
    picked_BT: Tensor | None = None
    """bool, the tokens that the objective has `picked` for the next step."""

    @classmethod
    def without_tokens(cls, batch: PackedBatch) -> "Pass":
        """That of an `idle` batch."""
        return cls(batch, batch.mask_BT.new_zeros(0), batch.mask_BT)

    @property
    def is_idle(self) -> bool:
        """Whether it holds no completion: see `idle`."""
        return not len(self.advantage_B)


def idle(policy: Policy, world: World, passes: int) -> list[PackedBatch]:
    """So many batches without a completion as this process has fewer passes than another one, since the processes make
    all passes through a divided base together. None through any other."""
    missing = world.most(passes) - passes if policy.is_sharded else 0
    return [pack([Shared([0], ())], policy.device)] * missing


def in_passes(policy: Policy, world: World, make: Callable[[], T]) -> T:
    """The result of `make`, of passes that a wait may give up. Those through a divided base come to their end, since
    the processes make them together. Raises as World.together."""
    if not policy.is_sharded:
        return world.together(make)
    with finishing():
        return make()


@torch.no_grad()
def survey(
    policy: Policy,
    passes: Sequence[Pass],
    objective: Objective,
    temperature: float,
    *,
    replay: bool,
    world: World = ALONE,
) -> None:
    """Give each pass the tokens that the objective picks out of all of them, and where it picks by entropy their
    entropies. It takes a forward pass, so that the choice does not depend on how the step is cut into passes, nor
    among processes. `replay`: see Policy.log_probs."""
    masks = [one.batch.mask_BT.bool() for one in passes]
    logps, olds, advantages, entropies = [], [], [], []
    for one, mask_BT in zip(passes, masks, strict=True):
        if objective.top_entropy < 1:
            logp_BT, one.entropy_BT = policy.entropies(
                one.batch, temperature=temperature, trunk=one.trunk, replay=replay
            )
            entropies.append(one.entropy_BT[mask_BT])
        else:
            logp_BT = policy.log_probs(one.batch, temperature=temperature, trunk=one.trunk, replay=replay)
        one.old_BT = logp_BT if one.old_BT is None else one.old_BT
        logps.append(logp_BT[mask_BT])
        olds.append(one.old_BT[mask_BT])
        advantages.append(one.advantage_B[:, None].expand_as(logp_BT)[mask_BT])
    lengths = [len(logp_M) for logp_M in logps]
    before, total = world.places(sum(lengths))
    if not total:
        return
    logp_M, old_M, advantage_M, entropy_M = (world.joined(_flat(part)) for part in (logps, olds, advantages, entropies))
    entropy_M = entropy_M if objective.top_entropy < 1 else None
    picked_M = objective.picked(TokensOfBatch(logp_M, old_M, advantage_M, entropy_M)).to(policy.device)
    parts = picked_M[before : before + sum(lengths)].split(lengths)
    for one, mask_BT, part_M in zip(passes, masks, parts, strict=True):
        one.picked_BT = torch.zeros_like(mask_BT).masked_scatter(mask_BT, part_M)


def _flat(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(parts)) if parts else torch.zeros(0)


def log_probs(policy: Policy, one: Pass, objective: Objective, temperature: float, *, replay: bool) -> LogProbs:
    """The log-probs of a pass and what else the objective is made of, with the gradient of the policy. The first time,
    those of the policy serve as the old ones too, unless others are known. `replay`: see Policy.log_probs."""
    given = {"temperature": temperature, "trunk": one.trunk, "replay": replay}
    entropy_BT, divergence_BT = one.entropy_BT, None
    if objective.entropy_coef:
        policy_BT, entropy_BT = policy.entropies(one.batch, **given)
    elif one.teacher is not None:
        policy_BT, divergence_BT = policy.divergences(one.batch, one.teacher, **given)
    else:
        policy_BT = policy.log_probs(one.batch, **given)
    if one.old_BT is None:
        one.old_BT = policy_BT.detach()
    if objective.kl_coef and one.reference_BT is None:
        one.reference_BT = one.old_BT
    return LogProbs(
        policy_BT,
        one.old_BT,
        one.reference_BT,
        entropy_BT=entropy_BT,
        picked_BT=one.picked_BT,
        sampled_BT=one.sampled_BT,
        teacher_BT=one.teacher_BT,
        divergence_BT=divergence_BT,
    )
