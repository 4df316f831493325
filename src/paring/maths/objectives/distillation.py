"""The objective that learns from a teacher what it makes of the policy's own answers."""

from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from paring.maths.advantages import Outcome, standardised
from paring.maths.objective import LogProbs, Objective, Reduce, importance_ratio
from paring.settings.declare import Count, NotNegative, settings

SELF = "self"


@settings
class Distillation(Objective):
    """On-policy distillation: the reverse KL divergence to a teacher, token by token, on answers that the policy itself
    has sampled (GKD, arXiv 2306.13649, with its lambda = 1; MiniLLM, arXiv 2306.08543).

    loss = 1/(sum_b |o_b|) sum_b sum_t [ KL_bt - reward_coef A_b log pi_bt ],   A = (r - mean) / std
    KL_bt = sum_v pi_btv (log pi_btv - log q_btv)      exact: over the vocabulary, with its gradient
    KL_bt = rho_bt sg[ log pi_bt - log q_bt ]          else: of the sampled token alone, whose gradient is that of the
                                                       exact one on average

    q is the teacher at the temperature of the rollout, sg has no gradient. `teacher`: whatever model.path takes, a
    run's folder, a PEFT adapter's folder, or "self": the policy itself as it was up to `every` steps ago, which holds
    it back while a reward moves it."""

    kind: Literal["distillation"] = "distillation"
    teacher: str
    exact: bool = True
    every: Count = 10
    reward_coef: NotNegative = 0.0
    reduce: Reduce = "per-token"
    learns_from_zero = True

    @cached_property
    def knows_old(self) -> bool:
        """The divergence by sampled tokens has the ratio; the exact one has none."""
        return not self.exact

    def __post_init__(self) -> None:
        if self.teacher == SELF and not self.reward_coef:
            raise ValueError('teacher="self": the policy alone teaches itself nothing; set reward_coef, such as 1.0')

    def advantage(self, outcome: Outcome) -> Tensor:
        return standardised(outcome.reward_PG) if self.reward_coef else torch.ones_like(outcome.reward_PG)

    def gain(self, logp: LogProbs, advantage_B1: Tensor, mask_BT: Tensor) -> Tensor:
        if self.exact:
            assert logp.divergence_BT is not None, "the divergences from the teacher were not given"
            gain_BT = -logp.divergence_BT
        else:
            assert logp.teacher_BT is not None, "the teacher's log-probs were not given"
            gain_BT = importance_ratio(logp) * (logp.teacher_BT - logp.policy_BT).detach()
        return gain_BT + self.reward_coef * advantage_B1 * logp.policy_BT if self.reward_coef else gain_BT
