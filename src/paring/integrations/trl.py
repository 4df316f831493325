"""TRL's GRPOTrainer with any of our objectives in place of its loss. For TRL 1.16 (docs/elsewhere.md)."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import MISSING, fields
from typing import Any

import torch
from torch import Tensor, nn

try:
    from trl import GRPOConfig, GRPOTrainer, __version__
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("paring.integrations.trl needs TRL: pip install 'paring[trl]'", name="trl") from error

from paring.maths.advantages import Outcome
from paring.maths.mismatch import Correction, CorrectionKind
from paring.maths.objective import LogProbs, Objective, Totals
from paring.maths.selection import TokensOfBatch

VERSION = "1.16"
"""What is replaced here is not TRL's public interface, and another version may have another."""
SAID_BY_THE_OBJECTIVE = (
    *("loss_type", "epsilon", "epsilon_high", "delta", "importance_sampling_level", "scale_rewards"),
    *("multi_objective_aggregation", "off_policy_mask_threshold", "use_bias_correction_kl"),
    *("top_entropy_quantile", "entropy_coef", "use_adaptive_entropy"),
)
"""Settings of GRPOConfig that have no effect here."""
CORRECTIONS: Mapping[str, CorrectionKind] = {
    "token_truncate": "tis",
    "sequence_truncate": "sequence-tis",
    "sequence_mask": "mis",
    "token_mask": "icepop",
}
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
        if not __version__.startswith(f"{VERSION}."):
            raise ValueError(f"TRL {__version__}: ObjectiveTrainer fits TRL {VERSION}, whose inner parts it replaces")
        self.objective, self.correct_at = objective.opened(), correct_at
        config = checked(args or GRPOConfig(), self.objective)
        self.correction = correction_of(config)
        self._window: tuple[int, Totals] | None = None
        super().__init__(model, reward_funcs, config, **others)

    def _calculate_rewards(
        self, inputs: list[Inputs], prompts: list[Any], completions: list[Any], completion_ids_list: list[list[int]]
    ) -> Tensor:
        """TRL's rewards of all processes, [B, functions]; kept with the length and the end of each completion."""
        rewards = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        ends = {*self.eos_token_ids, self._tokenizer.pad_token_id}
        facts_B2 = torch.tensor([[len(ids), ids[-1] in ends] for ids in completion_ids_list], device=rewards.device)
        self._scored = rewards.double(), self.accelerator.gather(facts_B2)
        return rewards

    def _generate_and_score_completions(self, inputs: list[Inputs]) -> Inputs:
        """TRL's rollout, with our advantages, and which completions the loss is a mean over."""
        output = super()._generate_and_score_completions(inputs)
        size = self.num_generations if self.model.training else self.num_generations_eval
        own = len(output["completion_ids"])
        first = self.accelerator.process_index * own
        if size < 2:
            return output | {"selected": torch.ones(own, dtype=torch.bool, device=output["advantages"].device)}
        outcome, scorable_PG = self._outcome(size)
        advantage_B = (self.objective.advantage(outcome) * scorable_PG).flatten()
        selected_B = (self.objective.selected(outcome) & scorable_PG).flatten()
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
        longest = self.max_completion_length
        return Outcome(reward_PG, correct_PG, length_PG, longest, ended_PG, parts_PG), scorable_PG

    def _compute_loss(self, model: nn.Module, inputs: Inputs) -> Tensor:
        """The micro-batch's part of the objective's loss, times the processes, whose gradients TRL averages."""
        mode = "train" if self.model.training else "eval"
        totals = self._totals_of_step(model) if mode == "train" else totals_of([inputs], self.max_completion_length)
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
                self._metrics[mode][name].append(self.accelerator.gather(figure).mean().item())
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
        first = self._step % self.args.steps_per_generation // passes * passes
        step = self._step // passes
        if self._window is None or self._window[0] != step:
            batches = self._buffered_inputs[first : first + passes]
            own = totals_of(batches, self.max_completion_length)
            counts = torch.tensor([own.sequences, own.tokens], device=self.accelerator.device)
            sequences, tokens = self.accelerator.reduce(counts, reduction="sum").tolist()
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


def checked(config: GRPOConfig, objective: Objective) -> GRPOConfig:
    """The settings with the objective's KL coefficient. Raises ValueError as ObjectiveTrainer."""
    if objective.from_solutions:
        raise ValueError("an objective that learns worked solutions samples nothing: use TRL's SFTTrainer")
    if objective.entropy_target != "off":
        raise ValueError("entropy_target moves its weight in paring's own loop alone: give a fixed entropy_coef")
    for one in fields(config):
        default = one.default if one.default_factory is MISSING else one.default_factory()
        if one.name in SAID_BY_THE_OBJECTIVE and (value := getattr(config, one.name)) != default:
            raise ValueError(f"{one.name}={value!r}: the objective says what the loss is; leave it at {default!r}")
    if config.beta not in (0.0, objective.kl_coef):
        raise ValueError(f"beta={config.beta}: the objective's kl_coef is {objective.kl_coef}; leave beta at 0")
    if config.steps_per_generation % config.gradient_accumulation_steps:
        raise ValueError(
            f"steps_per_generation={config.steps_per_generation}: an optimiser step of "
            f"{config.gradient_accumulation_steps} micro-batches would have answers of several rollouts, whose size is "
            "not known beforehand; make it a multiple of gradient_accumulation_steps"
        )
    if objective.surveys and config.world_size > 1:
        raise ValueError("an objective that picks tokens out of a whole step does so in one process; train in one")
    objective.check(config.num_generations)
    config = copy(config)
    config.beta = objective.kl_coef
    return config


def correction_of(config: GRPOConfig) -> Correction | None:
    """Our weights by TRL's settings of them. Raises ValueError for a lower bound that ours have not."""
    if not (config.use_vllm and config.vllm_importance_sampling_correction):
        return None
    kind = CORRECTIONS[config.vllm_importance_sampling_mode]
    least, most = config.vllm_importance_sampling_clip_min, config.vllm_importance_sampling_clip_max
    if least and kind != "icepop":
        raise ValueError(f"vllm_importance_sampling_clip_min={least}: only token_mask has a lower bound here")
    return Correction(kind, float("inf") if most is None else most, least or 0.0)
