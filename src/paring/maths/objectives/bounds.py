"""Objectives that bound an update otherwise than by PPO's clip: SAPO, GMPO, VESPO, LUSPO, DPPO."""

from typing import Literal

import torch
from torch import Tensor

from paring.maths.advantages import Outcome, standardised
from paring.maths.kl import LARGEST_LOG_RATIO
from paring.maths.objective import LogProbs, Objective, importance_ratio
from paring.maths.objectives.family import Gspo
from paring.maths.surrogates import ClipHigh, ClipLow
from paring.settings.declare import NotNegative, Positive, settings


@settings
class Sapo(Objective):
    """Soft adaptive policy optimisation: a smooth gate in place of the clip (arXiv 2511.20347).

    loss = -1/B sum_b 1/|o_b| sum_t 4/tau sigmoid(tau (rho_bt - 1)) A_b,   A = (r - mean) / std
    tau = tau_right where A_b > 0, else tau_wrong

    The slope of the gate is 1 at rho = 1 and falls on both sides, the faster the larger tau. No token is clipped."""

    kind: Literal["sapo"] = "sapo"
    tau_right: Positive = 1.0
    tau_wrong: Positive = 1.05

    def advantage(self, outcome: Outcome) -> Tensor:
        return standardised(outcome.reward_PG)

    def gain(self, logp: LogProbs, advantage_B1: Tensor, mask_BT: Tensor) -> Tensor:
        tau_B1 = torch.where(advantage_B1 > 0, self.tau_right, self.tau_wrong)
        return (tau_B1 * (importance_ratio(logp) - 1)).sigmoid() * (4 / tau_B1) * advantage_B1


@settings
class Gmpo(Objective):
    """Geometric-mean policy optimisation: the geometric mean of ratios that are clipped token by token
    (arXiv 2507.20673).

    loss = -1/B sum_b A_b exp( 1/|o_b| sum_t c_bt ),   A = (r - mean) / std
    c_bt = min[ log rho_bt, log_high ] where A_b > 0, max[ log rho_bt, -log_low ] where A_b < 0

    The bounds are of log rho; 0.4 is the paper's."""

    kind: Literal["gmpo"] = "gmpo"
    log_low: Positive = 0.4
    log_high: Positive = 0.4

    def advantage(self, outcome: Outcome) -> Tensor:
        return standardised(outcome.reward_PG)

    def gain(self, logp: LogProbs, advantage_B1: Tensor, mask_BT: Tensor) -> Tensor:
        log_ratio_BT = (logp.policy_BT - logp.old_BT) * mask_BT
        right_BT, wrong_BT = log_ratio_BT.clamp(max=self.log_high), log_ratio_BT.clamp(min=-self.log_low)
        bounded_BT = torch.where(advantage_B1 > 0, right_BT, wrong_BT)
        mean_B1 = bounded_BT.sum(-1, keepdim=True) / mask_BT.sum(-1, keepdim=True).clamp(min=1)
        # The same value at each of its tokens: their mean over the completion is the value.
        return (mean_B1.clamp(max=LARGEST_LOG_RATIO).exp() * advantage_B1).expand_as(mask_BT)

    def clipped(self, logp: LogProbs, advantage_B1: Tensor, mask_BT: Tensor) -> Tensor:
        log_ratio_BT = logp.policy_BT - logp.old_BT
        above_BT, below_BT = log_ratio_BT > self.log_high, log_ratio_BT < -self.log_low
        return (above_BT & (advantage_B1 > 0)) | (below_BT & (advantage_B1 < 0))


@settings
class Vespo(Objective):
    """Variational sequence-level soft policy optimisation: a completion weighs by a smooth function of its whole ratio
    (arXiv 2602.10693; the form is that of TRL and of Liger).

    loss = -1/(sum_b |o_b|) sum_b sum_t sg[ phi(w_b) ] A_b log pi_bt,   A = (r - mean) / std,   sg = no gradient
    w_b = pi(o_b) / pi_old(o_b),   phi(w) = w^k e^(lambda (1 - w))

    k and lambda have a value each for A_b >= 0 and for A_b < 0. phi(1) = 1."""

    kind: Literal["vespo"] = "vespo"
    k_right: NotNegative = 2.0
    lambda_right: NotNegative = 3.0
    k_wrong: NotNegative = 3.0
    lambda_wrong: NotNegative = 2.0
    reduce = "per-token"

    def advantage(self, outcome: Outcome) -> Tensor:
        return standardised(outcome.reward_PG)

    def gain(self, logp: LogProbs, advantage_B1: Tensor, mask_BT: Tensor) -> Tensor:
        log_ratio_BT = (logp.policy_BT - logp.old_BT).detach() * mask_BT
        log_w_B1 = log_ratio_BT.sum(-1, keepdim=True).clamp(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)
        is_right_B1 = advantage_B1 >= 0
        k_B1 = torch.where(is_right_B1, self.k_right, self.k_wrong)
        lambda_B1 = torch.where(is_right_B1, self.lambda_right, self.lambda_wrong)
        phi_B1 = (k_B1 * log_w_B1 + lambda_B1 * (1 - log_w_B1.exp())).clamp(max=LARGEST_LOG_RATIO).exp()
        return phi_B1 * advantage_B1 * logp.policy_BT


@settings
class Luspo(Gspo):
    """Length-unbiased sequence policy optimisation: GSPO, where a completion weighs by its length
    (arXiv 2602.05261).

    loss = -1/B sum_b |o_b| min[ s_b A_b, clip(s_b, 1 - clip_low, 1 + clip_high) A_b ]

    The bounds are those of the paper's section 5.1."""

    kind: Literal["luspo"] = "luspo"  # pyright: ignore[reportIncompatibleVariableOverride] - a kind names itself
    clip_low: ClipLow = 2e-3
    clip_high: ClipHigh = 2.5e-3
    reduce = "sum"


@settings
class Dppo(Objective):
    """Divergence PPO with the binary total variation: a token is masked where its probability has moved too far, not
    its ratio (arXiv 2602.04879; the form is that of verl).

    loss = -1/(sum_b |o_b|) sum_b sum_t sg[ min(rho_bt, most) M_bt ] A_b log pi_bt,   A = (r - mean) / std
    M_bt = 0 where pi_bt - pi_old_bt > tv_high with A_b > 0, or pi_old_bt - pi_bt > tv_low with A_b < 0, else 1

    A rare token may so become many times as likely, and a likely one is held. `most` = 20 is verl's, 0.2 our choice."""

    kind: Literal["dppo"] = "dppo"
    tv_low: Positive = 0.2
    tv_high: Positive = 0.2
    most: Positive = 20.0
    reduce = "per-token"

    def advantage(self, outcome: Outcome) -> Tensor:
        return standardised(outcome.reward_PG)

    def gain(self, logp: LogProbs, advantage_B1: Tensor, mask_BT: Tensor) -> Tensor:
        weight_BT = importance_ratio(logp).clamp(max=self.most).detach()
        weight_BT = weight_BT.masked_fill(self.clipped(logp, advantage_B1, mask_BT), 0.0)
        return weight_BT * advantage_B1 * logp.policy_BT

    def clipped(self, logp: LogProbs, advantage_B1: Tensor, mask_BT: Tensor) -> Tensor:
        moved_BT = logp.policy_BT.detach().exp() - logp.old_BT.exp()
        return ((moved_BT > self.tv_high) & (advantage_B1 > 0)) | ((moved_BT < -self.tv_low) & (advantage_B1 < 0))
