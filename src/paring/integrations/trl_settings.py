"""TRL's settings beside an objective: which it says otherwise, and what they mean here."""

from collections.abc import Mapping
from copy import copy
from dataclasses import MISSING, fields

from trl.trainer.grpo_config import GRPOConfig

from paring.maths.mismatch import Correction, CorrectionKind
from paring.maths.objective import Objective
from paring.maths.objectives import Distillation

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


def checked(config: GRPOConfig, objective: Objective) -> GRPOConfig:
    """The settings with the objective's KL coefficient. Raises ValueError as ObjectiveTrainer."""
    if objective.from_solutions:
        raise ValueError("an objective that learns worked solutions samples nothing: use TRL's SFTTrainer")
    if isinstance(objective, Distillation):
        raise ValueError(
            "distillation asks its teacher in paring's own loop alone: use `paring train`, or TRL's GKDTrainer"
        )
    if objective.entropy_target != "off":
        raise ValueError("entropy_target moves its weight in paring's own loop alone: give a fixed entropy_coef")
    for one in fields(config):
        default = one.default if one.default_factory is MISSING else one.default_factory()
        if one.name in SAID_BY_THE_OBJECTIVE and (value := getattr(config, one.name)) != default:
            raise ValueError(f"{one.name}={value!r}: the objective says what the loss is; leave it at {default!r}")
    if config.beta not in (0.0, objective.kl_coef):
        raise ValueError(f"beta={config.beta}: the objective's kl_coef is {objective.kl_coef}; leave beta at 0")
    if (config.steps_per_generation or 1) % config.gradient_accumulation_steps:
        raise ValueError(
            f"steps_per_generation={config.steps_per_generation}: an optimiser step of "
            f"{config.gradient_accumulation_steps} micro-batches would have answers of several rollouts, whose size is "
            "not known beforehand; make it a multiple of gradient_accumulation_steps"
        )
    if objective.surveys and config.world_size > 1:
        raise ValueError("an objective that picks tokens out of a whole step does so in one process; train in one")
    objective.check(config.num_generations or 1)
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
