"""An objective of your own is a class: what an answer is worth, and what each of its tokens gains by that.

paring train quickstart objective.kind=custom objective.path=examples/own_objective.py:Capped rollout.updates=2
"""

from torch import Tensor

from paring.maths.advantages import Outcome, standardised
from paring.maths.objective import LogProbs, Objective
from paring.maths.surrogates import importance_ratio


class Capped(Objective):
    """REINFORCE weighted by the ratio, at most 2: CISPO (arXiv 2506.13585) with another cap.

    loss = -1/L sum_bt sg[ min(rho_bt, 2) ] A_b log pi_bt,   A = (r - mean) / std,   L = tokens of the batch

    rho is pi over the policy that sampled; sg stops its gradient."""

    reduce = "per-token"

    def advantage(self, outcome: Outcome) -> Tensor:
        return standardised(outcome.reward_PG)

    def gain(self, logp: LogProbs, advantage_B1: Tensor, mask_BT: Tensor) -> Tensor:
        weight_BT = importance_ratio(logp).clamp(max=2.0).detach()
        return weight_BT * advantage_B1 * logp.policy_BT
