"""The meaning of each metric of a run, with its unit and its healthy range."""

import math
from collections.abc import Mapping
from difflib import get_close_matches
from typing import TypeAlias, TypeGuard

from paring.types import Json

Metrics: TypeAlias = Mapping[str, Json]
"""The metrics of a step, by the names of METRICS."""

METRICS: dict[str, str] = {
    "step": "Number of this step, from 1: one rollout and the updates made from it, or a supervised batch.",
    "reward": "Mean reward of the answers of this step; it should rise, and noise of one step says little.",
    "reward_parts": "Mean of each part of the reward, by name; a part that rises alone may be a trick the model found.",
    "reward_failures": "Parts of the reward that could not be computed, by name: for how many answers, and why for the "
    "first (task.failed = skip); absent where all could.",
    "accuracy": "Share of the answers of this step that are right, 0 to 1.",
    "traits": "Share of the answers that show each unrewarded trait, 0 to 1, by name (see docs/tasks.md).",
    "tasks": "With several tasks, by label: problems of this step, and their reward, accuracy, length and share of "
    "truncated answers.",
    "advantage_std": "Advantage spread: standard deviation of the advantages of all answers; at 0 nothing is learned.",
    "positive_advantage": "Share of the answers trained on whose advantage is above 0, 0 to 1.",
    "zero_advantage": "Share of the answers trained on whose advantage is 0: without a KL term they teach nothing.",
    "groups_without_signal": "Share of the problems whose answers all got the same reward: they teach nothing, 0 to 1.",
    "length": "Mean length of the answers in tokens; a sudden fall or growth is the first sign of a collapse.",
    "length_correct": "Mean length of the right answers in tokens; absent where none is right.",
    "length_wrong": "Mean length of the wrong answers in tokens; absent where none is wrong.",
    "length_max": "Length of the longest answer in tokens.",
    "truncated": "Share of the answers cut off at the length limit, 0 to 1; they can hardly be right.",
    "answers": "Mean number of answers of a conversation with an environment; absent where no environment replies.",
    "redrawn": "Problems without signal that others replaced (rollout.redraws; DAPO's dynamic sampling).",
    "staleness": "Steps since the policy that sampled was the one trained: with rollout.ahead so many, fewer in the "
    "first steps; with rollout.sync_every up to so many less one; else 0.",
    "kl": "KL divergence from the reference (k3), in nats a token: of all answers trained on where the objective has a "
    "KL term, else of one in 16, the first answers to the first problems; 0 at the start, it should grow slowly.",
    "kl_sampling": "KL divergence of the policy from the one that sampled (k3), in nats a token trained on, before the "
    "last update; 0 with one update a rollout.",
    "entropy": "Mean -log pi of the sampled tokens, in nats a token: at temperature 1 it estimates the entropy.",
    "entropy_coef": "Weight of the entropy bonus of this step; only where the objective has an entropy_target.",
    "entropy_exact": "Entropy over the whole vocabulary in nats, the mean over the tokens trained on, before the last "
    "update; only where the objective needs it, for an entropy bonus or top_entropy.",
    "teacher_kl": "Reverse KL divergence to the teacher of a distillation, in nats a token trained on, before the last "
    "update: exact over the vocabulary, or by the sampled tokens (k3).",
    "loss": "Value of the objective that was minimised; supervised in nats a token; in RL it measures no progress.",
    "tokens": "Tokens that the loss of this supervised step is a mean over.",
    "epoch": "How many times a supervised run has gone through its training examples, with this step.",
    "grad_norm": "Euclidean norm of the last update's gradient before clipping; a jump of ten times or more warns of a "
    "collapse.",
    "learning_rate": "Learning rate of the last update of this step.",
    "dropped_steps": "Steps dropped so far because their loss or gradient was not finite.",
    "rollout_tokens_per_second": "Answer tokens sampled a second of rollout.",
    "training_tokens_per_second": "Answer tokens trained on a second of training.",
    "peak_memory_gb": "The most memory the run has held so far, in 10^9 bytes; absent where the system keeps no count.",
    "gpu_memory_gb": "The most memory of the GPU that tensors took in the step, in 10^9 bytes; absent on a CPU.",
    "gpu_reserved_gb": "The most that torch held of the GPU for them; absent on a CPU.",
    "seconds": "Seconds this step took in all.",
    "seconds_rollout": "Seconds spent on sampling answers.",
    "seconds_score": "Seconds spent on checking answers.",
    "seconds_wait": "Seconds that training waited for the answers of this step, and gave the policy to servers; with "
    "rollout.ahead the rest of seconds_rollout and seconds_score passed while earlier steps trained.",
    "seconds_reference": "Seconds of the reference's log-probs, and of a teacher's; none without KL term or before the "
    "first update.",
    "seconds_training": "Seconds spent on forward, backward and update.",
    "seconds_evaluate": "Seconds spent on evaluation.",
    "seconds_publish": "Seconds spent on giving the adapter to a server and on proving it there; a part of rollout, "
    "or with rollout.ahead of wait.",
    "canary_gap": "Largest difference of a test prompt's log-probs on the servers from the trainer's, in nats.",
    "asked_again": "Questions put to servers once more in this step, since one was away, slow or wrong.",
    "threads": "CPU threads that torch used; another number changes the last bits of every sum.",
    "clip_fraction": "Share of the answer tokens whose ratio was clipped, 0 to 1; 0 with one update a rollout.",
    "ratio_low": "Importance ratio that 1 % of the tokens trained on are at or below; 1 with one update a rollout.",
    "ratio_median": "Median importance ratio of the tokens trained on; 1 with one update a rollout.",
    "ratio_high": "Importance ratio that 99 % of the tokens trained on are at or below; 1 with one update a rollout.",
    "ratio_max": "Largest importance ratio of a token trained on; 1 with one update a rollout.",
    "updates": "Optimiser updates made so far.",
    "gate": "Mean gate of the L1RA adapters, 0 to 1; new components come in at 1.",
    "gates_at_zero": "Share of the L1RA components whose gate is 0: the next rank event removes them, 0 to 1.",
    "adapter_parameters": "Parameters that the adapter has when it is published, gates folded into the factors.",
    "mismatch": "How far apart the log-probs of sampling and of training are, both of the policy that sampled: mean "
    "distance in nats a token trained on, before the last update; rounding where both are fp32; absent with "
    "rollout.old_logprobs = sampler, which recomputes none.",
    "mismatch_max": "The largest such difference of a token, in nats.",
    "mismatch_kl": "KL divergence of training's policy from the sampler's (k3) by these log-probs, in nats a token.",
    "importance_weight": "Mean importance weight of the tokens trained on, with rollout.truncate_ratio; 1 where the "
    "trained policy has sampled itself.",
    "importance_bounded": "Share of the tokens trained on whose importance weight is bounded or made 0, 0 to 1.",
    "unpacked": "Why passes are not packed but one sequence a row, by the model's own attention and cache.",
    "sampling_gap": "At the first step, where the base is quantised or not in fp32: by how much log-probs of a rollout "
    "and of training differ in a probe of so many tokens, in nats a token: the mean, and the largest.",
    "notes": "At the first step: what a person was told before it, such as settings that adapter.start overrides.",
    "collapse": "At the step where it is noticed: reward or length has fallen, since when, and the likely cause.",
    "evaluation": "Results on validation problems or held-out examples by name, at the steps that evaluate.",
}

HEALTHY: dict[str, tuple[float, float]] = {
    "groups_without_signal": (0.0, 0.8),
    "truncated": (0.0, 0.2),
    "kl": (-math.inf, 0.5),
    "entropy": (0.02, math.inf),
    "grad_norm": (0.0, 100.0),
    "dropped_steps": (0.0, 0.0),
    "clip_fraction": (0.0, 0.3),
    "ratio_max": (0.0, 10.0),
    "mismatch_kl": (0.0, 0.1),
    "importance_bounded": (0.0, 0.3),
}
"""From and to, both included: outside a person should look. Rules of thumb of ours, no source gives better ones."""


def is_number(value: object) -> TypeGuard[float]:
    """Whether a metric has a value: a number that is finite."""
    return isinstance(value, int | float) and math.isfinite(value)


class UnknownMetric(KeyError):
    """A metric that the glossary does not explain: add it to METRICS before it is recorded."""

    def __str__(self) -> str:
        name = self.args[0]
        near = get_close_matches(name, METRICS, n=1)
        return f"no metric is called {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def explain(name: str) -> str:
    """The meaning of a metric, with its unit and its healthy range. Raises UnknownMetric."""
    if name not in METRICS:
        raise UnknownMetric(name)
    low, high = HEALTHY.get(name, (-math.inf, math.inf))
    above = f"at least {low:g}" if low > 0 else ""
    below = f"at most {high:g}" if high < math.inf else ""
    limits = " and ".join(filter(None, (above, below)))
    return METRICS[name] + (f" Healthy: {limits}." if limits else "")
