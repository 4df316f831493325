"""TRL's GRPOTrainer with any of our objectives in place of its loss. For TRL 1.16 (docs/elsewhere.md)."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn

try:
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("paring.integrations.trl needs TRL: pip install 'paring[trl]'", name="trl") from error

from paring.integrations.trl_settings import checked, correction_of
from paring.maths.advantages import Outcome
from paring.maths.objective import LogProbs, Objective, Totals
from paring.maths.selection import TokensOfBatch

VERSION = "1.16"
"""The methods replaced here are not TRL's public interface, and may differ in another version."""
Inputs = dict[str, Any]
"""A batch of TRL's by name."""


class ObjectiveTrainer(GRPOTrainer):
    """GRPOTrainer, but the advantages and the loss are those of `objective`. All else is TRL's: generation, rewards,
    processes, saving, resuming, callbacks; with an L1raConfig, L1raCallback moves the ranks.

    objective    an Objective, such as Rgra(kl_coef=0.005); its `redraws` have no effect. Its reference is
                 TRL's: the base where TRL makes the adapter (peft_config), else the adapter as it was given
    correct_at   an answer counts as right where its weighted sum of rewards is at least this, which TRL does not know.
                 It matters to objectives that ask what is right, such as nsr

    TRL's importance weights for vLLM are ours by the same settings. Raises ValueError for settings that the objective
    says otherwise, for an objective that needs no samples, and where an optimiser step would have answers of several
    rollouts."""

    def __init__(
        self,
        model: Any,
        reward_funcs: Any,
        args: GRPOConfig | None = None,
        *,
        objective: Objective,
        correct_at: float = 1.0,
        **others: Any,
    ) -> None:
        if not (found := version("trl")).startswith(f"{VERSION}."):
            raise ValueError(f"TRL {found}: ObjectiveTrainer fits TRL {VERSION}, whose inner parts it replaces")
        self.objective, self.correct_at = objective.opened(), correct_at
        config = checked(args or GRPOConfig(), self.objective)
        self.correction = correction_of(config)
        self._window: tuple[int, Totals] | None = None
        self.sizes = config.num_generations or 0, config.num_generations_eval or config.num_generations or 0
        self.rollout_passes, self.longest = config.steps_per_generation or 1, config.max_completion_length or 1
        super().__init__(model, reward_funcs, config, **others)

    @property
    def trains(self) -> bool:
        assert self.model is not None
        return self.model.training

    def _gathered(self, own: Tensor) -> Tensor:
        """The tensors of all processes, one after the other."""
        whole = self.accelerator.gather(own)
        assert isinstance(whole, Tensor)
        return whole

    def _calculate_rewards(
        self, inputs: list[Inputs], prompts: list[Any], completions: list[Any], completion_ids_list: list[list[int]]
    ) -> Tensor:
        """TRL's rewards of all processes, [B, functions]; kept with the length and the end of each completion."""
        rewards = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        ends = [*self.eos_token_ids, self._tokenizer.pad_token_id]
        facts_B2 = torch.tensor([[len(ids), ids[-1] in ends] for ids in completion_ids_list], device=rewards.device)
        self._scored = rewards.double(), self._gathered(facts_B2)
        return rewards

    def _generate_and_score_completions(self, inputs: list[Inputs]) -> Inputs:
        """TRL's rollout, with our advantages, and which completions the loss is a mean over."""
        output = super()._generate_and_score_completions(inputs)
        if "pixel_values" in output:
            raise ValueError("the prompts have images: ObjectiveTrainer trains on text alone; leave the images out")
        size = self.sizes[0 if self.trains else 1]
        own = len(output["completion_ids"])
        first = self.accelerator.process_index * own
        if size < 2:
            return output | {"selected": torch.ones(own, dtype=torch.bool, device=output["advantages"].device)}
        outcome, scorable_PG = self._outcome(size)
        learned_PG = scorable_PG
        if self.mask_truncated_completions and outcome.ended_PG is not None:
            learned_PG = scorable_PG & outcome.ended_PG
        advantage_B = (self.objective.advantage(outcome) * learned_PG).flatten()
        selected_B = (self.objective.selected(outcome) & learned_PG).flatten()
        for _ in range(min(len(advantage_B), len(self._logs["advantages"]))):
            self._logs["advantages"].pop()
        self._logs["advantages"].extend(advantage_B.tolist())
        like = output["advantages"]
        output["advantages"] = advantage_B[first : first + own].to(like)
        output["selected"] = selected_B[first : first + own].to(like.device)
        return output

    def _outcome(self, size: int) -> tuple[Outcome, Tensor]:
        """The outcome of a rollout, and the completions that some reward function has scored: bool [P, G]. The others
        get the mean of their group."""
        rewards, facts_B2 = (part.cpu() for part in self._scored)
        scorable_PG = ~rewards.isnan().all(-1).view(-1, size)
        parts_PG = {
            name: (rewards[:, place].nan_to_num(0.0) * float(self.reward_weights[place])).view(-1, size)
            for place, name in enumerate(self.reward_func_names)
        }
        reward_PG = torch.stack(list(parts_PG.values())).sum(0)
        mean_P1 = (reward_PG * scorable_PG).sum(-1, keepdim=True) / scorable_PG.sum(-1, keepdim=True).clamp(min=1)
        reward_PG = torch.where(scorable_PG, reward_PG, mean_P1)
        correct_PG = (reward_PG >= self.correct_at) & scorable_PG
        length_PG, ended_PG = facts_B2[:, 0].view(-1, size), facts_B2[:, 1].view(-1, size).bool()
        return Outcome(reward_PG, correct_PG, length_PG, self.longest, ended_PG, parts_PG), scorable_PG

    def _compute_loss(self, model: nn.Module, inputs: Inputs) -> Tensor:
        """The micro-batch's part of the objective's loss, times the processes, whose gradients TRL averages."""
        totals = self._totals_of_step(model) if self.trains else totals_of([inputs], self.longest)
        policy_BT, entropy_BT, aux_loss = self._scores(model, inputs, aux=self.aux_loss_enabled)
        mask_BT = mask_of(inputs).to(policy_BT.dtype)
        old_BT = inputs.get("old_per_token_logps")
        old_BT = policy_BT.detach() if old_BT is None else old_BT
        sampled_BT = inputs.get("sampling_per_token_logps")
        if sampled_BT is not None:
            sampled_BT = torch.where(sampled_BT.isnan(), old_BT, sampled_BT)  # what vLLM could not score weighs 1
        picked_BT = inputs.get("picked")
        logp = LogProbs(policy_BT, old_BT, inputs.get("ref_per_token_logps"), entropy_BT, picked_BT, sampled_BT)
        given = logp, inputs["advantages"].to(policy_BT.dtype), mask_BT
        loss = self.objective(*given, totals, self.correction) * self.accelerator.num_processes
        own = Totals(len(mask_BT), max(1, int(mask_BT.sum())))
        with torch.no_grad():
            figures = {
                "entropy": (entropy_BT * mask_BT).sum() / own.tokens,
                "clip_ratio/region_mean": self.objective.clip_fraction(*given, own),
            }
            if logp.reference_BT is not None:
                d_BT = logp.reference_BT - policy_BT
                figures["kl"] = ((d_BT.exp() - d_BT - 1) * mask_BT).sum() / own.tokens
            for name, figure in figures.items():
                self._metrics["train" if self.trains else "eval"][name].append(self._gathered(figure).mean().item())
        if aux_loss is not None:
            loss = loss + self.router_aux_loss_coef * aux_loss / self.current_gradient_accumulation_steps
        return loss

    def _scores(self, model: nn.Module, inputs: Inputs, *, aux: bool = False) -> tuple[Tensor, Tensor, Tensor | None]:
        """Log-probs and entropies of the completions' tokens, [B, T], by TRL's own pass, and its router loss."""
        token_ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
        attention = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
        kept = inputs["completion_ids"].size(1)
        return self._get_per_token_logps_and_entropies(
            model, token_ids, attention, kept, compute_entropy=True, compute_aux_loss=aux
        )

    def _totals_of_step(self, model: nn.Module) -> Totals:
        """The size of the optimiser step that this micro-batch belongs to, over all processes. At the first of them the
        objective picks tokens, where it does."""
        assert self._buffered_inputs is not None
        passes = self.args.gradient_accumulation_steps
        first = self._step % self.rollout_passes // passes * passes
        step = self._step // passes
        if self._window is None or self._window[0] != step:
            batches = self._buffered_inputs[first : first + passes]
            own = totals_of(batches, self.longest)
            counts = torch.tensor([[own.sequences, own.tokens]], device=self.accelerator.device)
            sequences, tokens = self._gathered(counts).sum(0).tolist()
            self._window = step, Totals(max(1, sequences), max(1, tokens), own.longest)
            if self.objective.surveys:
                self._pick(model, batches)
        return self._window[1]

    @torch.no_grad()
    def _pick(self, model: nn.Module, batches: Sequence[Inputs]) -> None:
        """Give each micro-batch of a step the tokens that the objective picks out of all that can have a gradient."""
        masks = [mask_of(batch).bool() for batch in batches]
        if not self.objective.keeps_all:
            masks = [mask_BT & (one["advantages"] != 0)[:, None] for mask_BT, one in zip(masks, batches, strict=True)]
        scores = [self._scores(model, batch)[:2] for batch in batches]
        olds = [batch.get("old_per_token_logps") for batch in batches]
        tokens = TokensOfBatch(
            torch.cat([logp_BT[mask_BT] for (logp_BT, _), mask_BT in zip(scores, masks, strict=True)]),
            torch.cat(
                [
                    (logp_BT if old_BT is None else old_BT)[mask_BT]
                    for (logp_BT, _), old_BT, mask_BT in zip(scores, olds, masks, strict=True)
                ]
            ),
            torch.cat(
                [
                    batch["advantages"][:, None].expand_as(mask_BT)[mask_BT]
                    for batch, mask_BT in zip(batches, masks, strict=True)
                ]
            ),
            torch.cat([entropy_BT[mask_BT] for (_, entropy_BT), mask_BT in zip(scores, masks, strict=True)]),
        )
        parts = self.objective.picked(tokens).split([int(mask_BT.sum()) for mask_BT in masks])
        for batch, mask_BT, part_M in zip(batches, masks, parts, strict=True):
            batch["picked"] = torch.zeros_like(mask_BT).masked_scatter(mask_BT, part_M)


def mask_of(inputs: Inputs) -> Tensor:
    """The tokens that are learned: int [B, T]. Those that a tool has written are not."""
    mask_BT = inputs["completion_mask"]
    return mask_BT * inputs["tool_mask"] if "tool_mask" in inputs else mask_BT


def totals_of(batches: Sequence[Inputs], longest: int) -> Totals:
    """The size of what the loss is a mean over."""
    counts = [(int(one["selected"].sum()), int(mask_of(one)[one["selected"]].sum())) for one in batches]
    return Totals(sum(sequences for sequences, _ in counts), sum(tokens for _, tokens in counts), longest)
