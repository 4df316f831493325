"""The names that other libraries give to settings, and what they are called here."""

from collections.abc import Collection
from dataclasses import dataclass

_TRL, _PEFT, _VERL = "TRL", "PEFT", "verl"


@dataclass(frozen=True)
class ForeignName:
    """A name of another library. `ours`: keys here that mean the same, of which a run has one; where there is none,
    `note` says why."""

    library: str
    name: str
    ours: tuple[str, ...] = ()
    note: str = ""

    def answer(self, known: Collection[str]) -> str | None:
        """The words for a person who wrote this name in a recipe with the keys `known`; None where nothing fits."""
        here = next((key for key in self.ours if key in known), None)
        if here is None:
            return None if self.ours else self.note
        return f"did you mean {here}?" + (f" ({self.note})" if self.note else "")


FOREIGN = (
    ForeignName(_TRL, "model_name_or_path", ("model.path",)),
    ForeignName(_TRL, "model_name", ("model.path",)),
    ForeignName(_TRL, "dataset_name", ("data.data", "task.data")),
    ForeignName(_TRL, "dataset", ("data.data", "task.data")),
    ForeignName(_TRL, "dataset_config", ("data.hub_config", "task.hub_config")),
    ForeignName(_TRL, "reward_funcs", ("task.reward",)),
    ForeignName(_TRL, "reward_weights", ("task.weights", "rewards")),
    ForeignName(_TRL, "loss_type", ("objective.kind",)),
    ForeignName(_TRL, "beta", ("objective.kl_coef",)),
    ForeignName(_TRL, "epsilon", ("objective.clip_low",), "the bound above is objective.clip_high"),
    ForeignName(_TRL, "epsilon_high", ("objective.clip_high",)),
    ForeignName(_TRL, "scale_rewards", ("objective.std",)),
    ForeignName(_TRL, "top_entropy_quantile", ("objective.top_entropy",)),
    ForeignName(_TRL, "num_generations", ("rollout.group_size",)),
    ForeignName(_TRL, "max_completion_length", ("rollout.max_new_tokens",)),
    ForeignName(_TRL, "mask_truncated_completions", ("rollout.mask_truncated",)),
    ForeignName(_TRL, "stop_strings", ("rollout.stop",)),
    ForeignName(_TRL, "stop_sequences", ("rollout.stop",)),
    ForeignName(_TRL, "include_stop_str_in_output", ("rollout.keep_stop",)),
    ForeignName(_TRL, "num_iterations", ("rollout.updates",)),
    ForeignName(_TRL, "max_prompt_length", (), "prompts are never cut; leave long problems out of the data"),
    ForeignName(_TRL, "learning_rate", ("optimiser.lr",)),
    ForeignName(_TRL, "lr_scheduler_type", ("optimiser.schedule",)),
    ForeignName(_TRL, "warmup_steps", ("optimiser.warmup",)),
    ForeignName(_TRL, "warmup_ratio", ("optimiser.warmup",), "in steps"),
    ForeignName(_TRL, "adam_beta1", ("optimiser.betas",), "both in a list"),
    ForeignName(_TRL, "adam_beta2", ("optimiser.betas",), "both in a list"),
    ForeignName(_TRL, "adam_epsilon", ("optimiser.epsilon",)),
    ForeignName(_TRL, "gradient_checkpointing", ("optimiser.activations_gb",), "in 10^9 bytes"),
    ForeignName(
        _TRL,
        "gradient_accumulation_steps",
        ("optimiser.tokens_per_pass",),
        "a step is cut into passes of so many tokens, and its gradient does not depend on it",
    ),
    ForeignName(_TRL, "per_device_train_batch_size", ("batch", "rollout.problems"), "a whole step's"),
    ForeignName(_TRL, "train_batch_size", ("batch", "rollout.problems"), "a whole step's"),
    ForeignName(_TRL, "batch_size", ("batch", "rollout.problems"), "a whole step's"),
    ForeignName(_TRL, "max_steps", ("steps",)),
    ForeignName(_TRL, "num_train_epochs", ("steps",), "a run is so many steps long, not epochs"),
    ForeignName(_TRL, "epochs", ("steps",), "a run is so many steps long, not epochs"),
    ForeignName(_TRL, "max_length", ("data.longest", "rollout.max_new_tokens")),
    ForeignName(_TRL, "max_seq_length", ("data.longest", "rollout.max_new_tokens")),
    ForeignName(_TRL, "completion_only_loss", ("data.loss_on",), '"completions" or "all"'),
    ForeignName(_TRL, "assistant_only_loss", ("data.loss_on",), '"completions" or "all"'),
    ForeignName(_TRL, "packing", (), "examples are always packed"),
    ForeignName(_TRL, "eval_steps", ("evaluate.every",)),
    ForeignName(_TRL, "save_steps", ("save.every",)),
    ForeignName(_TRL, "save_total_limit", ("save.keep",)),
    ForeignName(_TRL, "bf16", ("model.dtype",), '"bfloat16"'),
    ForeignName(_TRL, "fp16", ("model.dtype",), '"float32" or "bfloat16"; there is no fp16'),
    ForeignName(_TRL, "torch_dtype", ("model.dtype",)),
    ForeignName(_TRL, "load_in_4bit", ("model.quantisation",), '"4bit"'),
    ForeignName(_TRL, "load_in_8bit", ("model.quantisation",), '"8bit"'),
    ForeignName(_TRL, "vllm_importance_sampling_correction", ("rollout.truncate_ratio",), "the bound turns it on"),
    ForeignName(_TRL, "vllm_importance_sampling_mode", ("rollout.correction",)),
    ForeignName(_TRL, "vllm_importance_sampling_clip_max", ("rollout.truncate_ratio",)),
    ForeignName(_TRL, "vllm_importance_sampling_clip_min", ("rollout.least_ratio",)),
    ForeignName(_TRL, "use_vllm", (), "the package samples by itself, without a server"),
    ForeignName(_TRL, "output_dir", (), "no setting: paring train --out DIR, train(run, out=...)"),
    ForeignName(_TRL, "resume_from_checkpoint", (), "no setting: paring train --resume RUN, train(run, resume=True)"),
    ForeignName(_PEFT, "r", ("adapter.rank",)),
    ForeignName(_PEFT, "lora_r", ("adapter.rank",)),
    ForeignName(_PEFT, "lora_alpha", ("adapter.alpha",)),
    ForeignName(_PEFT, "lora_dropout", ("adapter.dropout",)),
    ForeignName(_PEFT, "target_modules", ("adapter.targets",)),
    ForeignName(_PEFT, "lora_target_modules", ("adapter.targets",)),
    ForeignName(_PEFT, "use_dora", ("adapter.kind",), '"dora"'),
    ForeignName(_PEFT, "loraplus_lr_ratio", ("adapter.b_rate",)),
    ForeignName(_PEFT, "use_rslora", ("adapter.scaling",), '"rank-stabilised"'),
    ForeignName(_PEFT, "init_lora_weights", ("adapter.init_a",), '"gaussian" is "normal" here'),
    ForeignName(_PEFT, "rank_pattern", ("adapter.ranks",)),
    ForeignName(_PEFT, "peft_type", ("adapter.kind",)),
    ForeignName(_VERL, "n", ("rollout.group_size",)),
    ForeignName(_VERL, "max_response_length", ("rollout.max_new_tokens",)),
    ForeignName(_VERL, "ppo_epochs", ("rollout.updates",)),
    ForeignName(_VERL, "max_num_gen_batches", ("rollout.redraws",), "redraws after the first draw"),
    ForeignName(_VERL, "ppo_mini_batch_size", ("rollout.minibatches",), "their number, not their size"),
    ForeignName(_VERL, "kl_loss_coef", ("objective.kl_coef",)),
    ForeignName(_VERL, "kl_loss_type", ("objective.kl",), '"k1", "k2" or "k3"'),
    ForeignName(_VERL, "adv_estimator", ("objective.kind",)),
    ForeignName(_VERL, "loss_agg_mode", ("objective.reduce",)),
    ForeignName(_VERL, "clip_ratio", ("objective.clip_low",), "the bound above is objective.clip_high"),
    ForeignName(_VERL, "clip_ratio_low", ("objective.clip_low",)),
    ForeignName(_VERL, "clip_ratio_high", ("objective.clip_high",)),
    ForeignName(_VERL, "entropy_coeff", ("objective.entropy_coef",)),
    ForeignName(_VERL, "rollout_is", ("rollout.correction",)),
    ForeignName(_VERL, "rollout_is_threshold", ("rollout.truncate_ratio",)),
    ForeignName(_VERL, "lora_rank", ("adapter.rank",)),
    ForeignName(_VERL, "grad_clip", ("optimiser.max_grad_norm",)),
    ForeignName(_VERL, "lr_warmup_steps", ("optimiser.warmup",)),
    ForeignName(_VERL, "test_freq", ("evaluate.every",)),
    ForeignName(_VERL, "save_freq", ("save.every",)),
    ForeignName(_VERL, "total_training_steps", ("steps",)),
    ForeignName(_VERL, "train_files", ("data.data", "task.data")),
)
NOT_OFFERED = {
    "dpo": "DPO learns from pairs of answers, which a run here does not have",
    "ppo": 'PPO has a critic, which no objective here has; "grpo" clips the same ratio without one',
    "kto": "KTO learns from judged answers of a data set, which a run here does not have",
    "orpo": "ORPO learns from pairs of answers, which a run here does not have",
    "qlora": 'QLoRA is adapter.kind = "lora" with model.quantisation = "4bit"',
    "rslora": 'rsLoRA is adapter.kind = "lora" with adapter.scaling = "rank-stabilised"',
}
"""Kinds that a reader of other libraries may look for, and what there is in their place."""


def foreign_answer(name: str, known: Collection[str]) -> str | None:
    """What to say of a key that another library has, the last part of its dotted name; None where none has it."""
    wanted = name.replace("-", "_").lower()
    answers = (one.answer(known) for one in FOREIGN if one.name == wanted)
    return next(filter(None, answers), None)
