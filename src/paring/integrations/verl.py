"""Our advantages and policy losses in verl's registries, named after their kinds. For verl 0.9 (docs/elsewhere.md)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor

# verl is installed in environments of its own: `make test-verl`.
try:
    from verl.trainer.ppo.core_algos import (  # pyright: ignore[reportMissingImports]  see above
        agg_loss,
        register_adv_est,
        register_policy_loss,
    )
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("paring.integrations.verl needs verl: pip install verl", name="verl") from error

from paring.maths.advantages import Outcome
from paring.maths.objective import LogProbs, Objective, Totals
from paring.maths.objectives import AnyObjective, Distillation, Gdpo, OwnObjective
from paring.maths.selection import TokensOfBatch

AGGREGATIONS = {
    "per-sequence": "seq-mean-token-mean",
    "per-token": "token-mean",
    "constant": "seq-mean-token-sum-norm",
    "sum": "seq-mean-token-sum",
}
"""Our reducers by the names of verl."""


@dataclass(frozen=True)
class VerlObjective:
    """An objective as the two functions that verl calls. See `register`."""

    objective: Objective
    correct_at: float = 1.0
    longest: int | None = None

    def advantages(
        self,
        token_level_rewards: Tensor,
        response_mask: Tensor,
        index: Sequence[object] | None = None,
        config: object = None,
        **_: object,
    ) -> tuple[Tensor, Tensor]:
        """The advantage of each answer at each of its tokens, [B, T], twice: verl takes the second as returns.

        index    which answers are of one problem. Raises ValueError where problems have different numbers of them"""
        if index is None:
            raise ValueError("no uid tells which answers are of one problem; our advantages compare those")
        rows: dict[object, list[int]] = {}
        for row, problem in enumerate(index):
            rows.setdefault(problem, []).append(row)
        sizes = sorted({len(group) for group in rows.values()})
        if len(sizes) != 1:
            raise ValueError(f"problems have {sizes[0]} to {sizes[-1]} answers: our advantages need as many of each")
        self.objective.check(sizes[0])
        places_PG = torch.tensor(list(rows.values()), device=response_mask.device)
        reward_PG = token_level_rewards.sum(-1).double()[places_PG]
        length_PG = response_mask.sum(-1).long()[places_PG]
        longest = self.longest or response_mask.shape[-1]
        advantage_PG = self.objective.advantage(Outcome(reward_PG, reward_PG >= self.correct_at, length_PG, longest))
        advantage_B = torch.zeros(len(response_mask), dtype=torch.float64, device=response_mask.device)
        advantage_B[places_PG] = advantage_PG
        advantage_BT = (advantage_B[:, None] * response_mask).to(token_level_rewards.dtype)
        return advantage_BT, advantage_BT

    def loss(
        self,
        old_log_prob: Tensor,
        log_prob: Tensor,
        advantages: Tensor,
        response_mask: Tensor,
        loss_agg_mode: str = "token-mean",
        config: Any = None,
        rollout_is_weights: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss of a micro-batch, all [B, T], and its metrics. verl adds entropy bonus and KL term.

        Raises ValueError for another aggregation than the objective's, and for advantages that differ by token."""
        if loss_agg_mode != (own := AGGREGATIONS[self.objective.reduce]):
            raise ValueError(
                f"actor.loss_agg_mode={loss_agg_mode}: the objective has reduce={self.objective.reduce!r}; "
                f"set actor.loss_agg_mode={own}"
            )
        is_token_BT = response_mask.bool()
        mask_BT = is_token_BT.to(log_prob.dtype)
        advantage_B1 = advantages.gather(1, is_token_BT.int().argmax(1, keepdim=True))
        if ((advantages != advantage_B1) & is_token_BT).any():
            raise ValueError("the advantages of an answer differ by token; take one of our estimators, or verl's grpo")
        policy_BT, old_BT = (one.masked_fill(~is_token_BT, 0.0) for one in (log_prob, old_log_prob))
        logp = LogProbs(policy_BT, old_BT, None, picked_BT=self._picked(policy_BT, old_BT, advantage_B1, is_token_BT))
        gain_BT = self.objective.masked_gain(logp, advantage_B1, mask_BT)
        if rollout_is_weights is not None:
            gain_BT = gain_BT * rollout_is_weights.detach()
        batch: Mapping[str, Any] = {} if config is None else config.global_batch_info
        loss = agg_loss(loss_mat=-gain_BT, loss_mask=mask_BT, loss_agg_mode=loss_agg_mode, **batch)
        with torch.no_grad():
            totals = Totals(len(mask_BT), max(1, int(mask_BT.sum())))
            clipped = self.objective.clip_fraction(logp, advantage_B1[:, 0], mask_BT, totals)
            figures = {"actor/pg_clipfrac": clipped, "actor/ppo_kl": (old_BT - policy_BT).sum() / totals.tokens}
        return loss, {name: float(figure) for name, figure in figures.items()}

    def _picked(self, policy_BT: Tensor, old_BT: Tensor, advantage_B1: Tensor, is_token_BT: Tensor) -> Tensor | None:
        """The tokens of the micro-batch that the objective treats otherwise; verl shows no more of a batch."""
        if not self.objective.surveys:
            return None
        advantage_BT = advantage_B1.expand_as(is_token_BT)
        tokens = TokensOfBatch(*(one[is_token_BT] for one in (policy_BT.detach(), old_BT, advantage_BT)))
        return torch.zeros_like(is_token_BT).masked_scatter(is_token_BT, self.objective.picked(tokens))


def register(objective: Objective, name: str, *, correct_at: float = 1.0, longest: int | None = None) -> None:
    """Register the objective's advantages and its policy loss with verl under one name.

    correct_at   an answer counts as right where its reward is at least this
    longest      data.max_response_length, for objectives that ask for it; by default the width of a batch

    Raises ValueError for a name that is taken, and for objectives that verl cannot run: see `refusal`."""
    objective = objective.opened()
    if (why := refusal(objective)) is not None:
        raise ValueError(f"{objective}: {why}")
    one = VerlObjective(objective, correct_at, longest)
    register_adv_est(name)(one.advantages)
    register_policy_loss(name)(one.loss)


def refusal(objective: Objective) -> str | None:
    """Why verl cannot run the objective, and what to do; None where it can."""
    if objective.from_solutions:
        return "it samples nothing; use verl's SFT trainer"
    if isinstance(objective, Distillation):
        return "it asks a teacher, which verl has in a trainer of its own; use that, or `paring train`"
    if isinstance(objective, Gdpo):
        return "it asks for the parts of the reward; use algorithm.adv_estimator=gdpo, which is verl's own"
    if objective.kl_coef:
        return "verl has the KL term; leave kl_coef at 0 and set actor.use_kl_loss, actor.kl_loss_coef"
    if objective.entropy_coef or objective.entropy_target != "off":
        return "verl has the entropy bonus; leave entropy_coef at 0 and set actor.entropy_coeff"
    if objective.top_entropy < 1:
        return "verl shows its losses no entropies; leave top_entropy at 1"
    reward_PG = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    outcome = Outcome(reward_PG, reward_PG > 0, torch.full((2, 3), 4), 4, reward_PG > 0)
    if not objective.selected(outcome).all():
        return "its loss is a mean over some of the answers, and verl's over all; choose settings that leave none out"
    return None


def register_all() -> None:
    """Register every kind that verl can run with its defaults: `rgra` as paring-rgra, and so on."""
    for kind in get_args(get_args(AnyObjective)[0]):
        if kind not in (Distillation, OwnObjective) and refusal(objective := kind()) is None:
            register(objective, f"paring-{objective.kind}")


# verl imports what VERL_USE_EXTERNAL_MODULES names in each of its processes, and calls nothing there.
register_all()
