"""The metrics of an update: sums over its passes, quantiles of its ratios, and the KL of a sample."""

import math
from collections.abc import Iterable, Sequence
from functools import reduce
from operator import add

import torch
from torch import Tensor

from paring.maths.kl import LARGEST_LOG_RATIO, k3
from paring.maths.mismatch import Correction
from paring.maths.objective import LogProbs, Objective, Totals, per_token_mean
from paring.policy.model import Policy
from paring.policy.packing import PackedBatch, pack, shared_of
from paring.training.passes import idle
from paring.training.world import ALONE, World
from paring.types import Group

KL_SAMPLE = 16
"""Where no KL term asks for the KL of all completions, it is measured on one in so many (docs/metrics.md)."""
QUANTILES = {"ratio_low": 0.01, "ratio_median": 0.5, "ratio_high": 0.99, "ratio_max": 1.0}


class Measures:
    """Adds up over the passes of a rollout. Into how many it was cut does not show.

    What a pass gives stays on its device until `as_plain`, which waits for the device once for all passes.
    The ratios are those of the tokens trained on: of a completion that is left out none is known."""

    def __init__(
        self, objective: Objective, whole: Totals, minibatches: int, correction: Correction | None = None
    ) -> None:
        self.objective, self.whole, self.minibatches, self.correction = objective, whole, minibatches, correction
        self.losses: list[Tensor] = []
        self.clip_fractions: list[Tensor] = []
        self.kls: list[Tensor] = []
        self.entropies: list[Tensor] = []
        self.teacher_kls: list[Tensor] = []
        self.log_ratios: list[Tensor] = []
        self.masks: list[Tensor] = []
        self.mismatches: list[Tensor] = []
        self.weights: list[Tensor] = []
        self.bounded: list[Tensor] = []

    @torch.no_grad()
    def add(self, logp: LogProbs, advantage_B: Tensor, mask_BT: Tensor, loss: Tensor) -> None:
        """One pass, and its part of the loss of its minibatch."""
        self.losses.append(loss.detach())
        self.clip_fractions.append(self.objective.clip_fraction(logp, advantage_B, mask_BT, self.whole))
        self.log_ratios.append(logp.policy_BT - logp.old_BT)
        self.masks.append(mask_BT)
        if self.objective.kl_coef:
            assert logp.reference_BT is not None
            self.kls.append(per_token_mean(k3(logp.reference_BT - logp.policy_BT), mask_BT, self.whole))
        apart_BT = logp.divergence_BT
        if logp.teacher_BT is not None:
            apart_BT = k3(logp.teacher_BT - logp.policy_BT)
        for sums, value_BT in ((self.entropies, logp.entropy_BT), (self.teacher_kls, apart_BT)):
            if value_BT is not None:
                sums.append(torch.stack([(value_BT * mask_BT).sum(), mask_BT.sum()]))
        if logp.sampled_BT is not None and logp.old_BT is not logp.sampled_BT:
            self.mismatches.append(logp.old_BT - logp.sampled_BT)
        if self.correction:
            log_ratio_BT = self.objective.log_mismatch(logp)
            self.weights.append(self.correction.weight(log_ratio_BT, mask_BT))
            self.bounded.append(self.correction.acts(log_ratio_BT, mask_BT))

    def as_plain(self, world: World = ALONE) -> dict[str, float]:
        """Measures of all processes, by the names of the journal's glossary; `kl` only where there is a KL term,
        `entropy_exact` and `teacher_kl` where they were computed, `mismatch` where old log-probs were recomputed of
        what was sampled, and the weights' with a correction."""
        held = (self.losses, self.clip_fractions, self.kls, self.log_ratios, self.masks)
        sums = (self.entropies, self.teacher_kls)
        of_sampling = (self.mismatches, self.weights, self.bounded)
        losses, clip_fractions, kls, log_ratios, masks, entropies, apart, *others = gathered(*held, *sums, *of_sampling)
        log_ratio_M = world.joined(log_ratios[masks.bool()].float())
        if not len(log_ratio_M):
            log_ratio_M = torch.zeros(1)
        mismatch_M, weight_M, bounded_M = (
            world.joined((other[masks.bool()] if len(other) else other).double()) for other in others
        )
        loss, clip_fraction, kl, entropy, tokens, teacher_kl, taught = world.sum(
            total(loss / self.minibatches for loss in losses.tolist()),
            total(clip_fractions.tolist()),
            total(kls.tolist()),
            *entropies.view(-1, 2).sum(0).tolist(),
            *apart.view(-1, 2).sum(0).tolist(),
        )
        return (
            ({"entropy_exact": entropy / tokens} if tokens else {})
            | ({"teacher_kl": teacher_kl / taught} if taught else {})
            | {
                "loss": loss,
                "clip_fraction": clip_fraction,
                **ratio_quantiles(log_ratio_M),
                # Drawn from the old policy, so d = log pi - log pi_old: unbiased for KL(pi_old || pi).
                "kl_sampling": float(k3(log_ratio_M).mean()),
            }
            | ({"kl": kl} if self.objective.kl_coef else {})
            | mismatch_measures(mismatch_M)
            | mean_of("importance_weight", weight_M)
            | mean_of("importance_bounded", bounded_M)
        )


def gathered(*lists: Sequence[Tensor]) -> list[Tensor]:
    """The numbers of each list of tensors, one after the other: fp64, on the CPU. A GPU is waited for once for all."""
    flat = [[tensor.detach().reshape(-1).double() for tensor in tensors] for tensors in lists]
    sizes = [sum(map(len, tensors)) for tensors in flat]
    whole = [tensor for tensors in flat for tensor in tensors]
    return list((torch.cat(whole) if whole else torch.zeros(0)).cpu().split(sizes))


def total(numbers: Iterable[float]) -> float:
    """Added up in order, each sum rounded: `sum` rounds otherwise from Python 3.12 on."""
    return reduce(add, numbers, 0.0)


def mean_of(name: str, value_M: Tensor) -> dict[str, float]:
    """The mean by its name; nothing without tokens."""
    return {name: float(value_M.mean())} if len(value_M) else {}


def mismatch_measures(log_ratio_M: Tensor) -> dict[str, float]:
    """How far what trains is from what sampled, by log pi_old - log pi_sampled of sampled tokens; {} without tokens."""
    if not len(log_ratio_M):
        return {}
    apart_M = log_ratio_M.abs()
    kl = k3(log_ratio_M)  # drawn from the policy that sampled, so unbiased for KL(pi_sampled || pi_old)
    return {"mismatch": float(apart_M.mean()), "mismatch_max": float(apart_M.max()), "mismatch_kl": float(kl.mean())}


def ratio_quantiles(log_ratio_M: Tensor) -> dict[str, float]:
    """Quantiles of the importance ratio by their names, each one of the values (the nearest rank)."""
    ratio_M = log_ratio_M.clamp(max=LARGEST_LOG_RATIO).exp().sort().values
    return {name: float(ratio_M[math.ceil(share * len(ratio_M)) - 1]) for name, share in QUANTILES.items()}


@torch.no_grad()
def kl_of_sample(policy: Policy, groups: Sequence[Group], temperature: float, world: World) -> float:
    """k3 of the policy to its reference, in nats a token, over one completion in KL_SAMPLE, and one at least: the first
    completions of the first groups."""
    if policy.is_its_reference:
        return 0.0
    completions = sum(len(group.completions) for group in groups)
    chosen = groups[: max(1, completions // KL_SAMPLE)]
    sample = [shared_of(group, group.completions[:1]) for group in chosen]
    totals = Totals(sequences=len(sample), tokens=sum(group.completions[0].drawn for group in chosen))
    mine = [sample[place] for place in world.mine(range(len(sample)))]
    batches = [pack(mine, policy.device)] if mine else []
    batches += idle(policy, world, len(batches))
    return world.sum(total(_kl(policy, batch, temperature, totals) for batch in batches))[0]


def _kl(policy: Policy, batch: PackedBatch, temperature: float, totals: Totals) -> float:
    """k3 to the reference, added up over a part of what the totals are of, and divided by their tokens."""
    return float(per_token_mean(*k3_to_reference(policy, batch, temperature), totals))


@torch.no_grad()
def k3_to_reference(policy: Policy, batch: PackedBatch, temperature: float) -> tuple[Tensor, Tensor]:
    """k3 of the policy to its reference at each token, in nats, and the mask of the tokens that count: [B, T]."""
    trunk = policy.trunk(batch)
    policy_BT = policy.log_probs(batch, temperature=temperature, trunk=trunk)
    with policy.reference():
        reference_BT = policy.log_probs(batch, temperature=temperature, trunk=trunk)
    return k3(reference_BT - policy_BT), batch.mask_BT
