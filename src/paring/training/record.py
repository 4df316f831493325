"""What the scores of a step say: its rewards, its metrics, and its answers for the journal."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from paring.evaluation.items import Response, items_of
from paring.evaluation.measuring import mean_length, trait_shares
from paring.maths.advantages import without_signal
from paring.training.update import Update
from paring.types import Group, Score


def weighted(scores: Sequence[Sequence[Score]], weights: Mapping[str, float]) -> list[list[Score]]:
    """The scores with the parts of their rewards multiplied by the weights of a recipe's `rewards`."""
    return [
        [
            replace(score, parts={name: part * weights.get(name, 1.0) for name, part in score.parts.items()})
            for score in row
        ]
        for row in scores
    ]


def rewards(groups: Sequence[Group], scores: Sequence[Sequence[Score]]) -> Tensor:
    """reward_PG, float64 [P, G]. Raises ValueError where a task gave a reward that is not a finite number."""
    reward_PG = torch.tensor([[score.reward for score in row] for row in scores], dtype=torch.float64)
    if not reward_PG.isfinite().all():
        bad = groups[int((~reward_PG.isfinite()).any(-1).nonzero()[0])]
        raise ValueError(
            f"the task gave an answer to problem {bad.problem.id} a reward that is not finite: mend score()"
        )
    return reward_PG


def rollout_metrics(
    groups: Sequence[Group], scores: Sequence[Sequence[Score]], reward_PG: Tensor, *, sampled: bool
) -> dict[str, Any]:
    """What the answers of a step say, by the names of the journal's glossary. Solutions, which were not `sampled`, have
    no entropy, and as groups of one no signal to miss.

    The entropy is estimated by -log pi of the sampled tokens: unbiased at temperature 1 with the whole distribution,
    and it costs nothing, where the exact one is a pass over tokens x vocabulary."""
    answers = [score for group in scores for score in group]
    completions = [completion for group in groups for completion in group.completions]
    responses = [response for item in items_of(groups, scores) for response in item.answers]
    lengths = [response.tokens for response in responses]
    names = dict.fromkeys(name for score in answers for name in score.parts)
    parts = {name: sum(score.parts.get(name, 0.0) for score in answers) / len(answers) for name in names}
    of_samples = {
        "groups_without_signal": float(without_signal(reward_PG).float().mean()),
        "entropy": -sum(sum(completion.logprobs) for completion in completions) / sum(lengths),
    }
    return {
        "reward": float(reward_PG.mean()),
        "reward_parts": parts,
        "accuracy": sum(score.correct for score in answers) / len(answers),
        "traits": trait_shares(answers),
        "length": mean_length(responses),
        **_lengths_by_correctness(responses),
        "length_max": max(lengths),
        "truncated": sum(not completion.ended for completion in completions) / len(completions),
    } | (of_samples if sampled else {})


def advantage_metrics(advantage_PG: Tensor) -> dict[str, float]:
    """How the advantages of the answers trained on are spread."""
    return {
        "advantage_std": float(advantage_PG.std()),
        "positive_advantage": float((advantage_PG > 0).double().mean()),
        "zero_advantage": float((advantage_PG == 0).double().mean()),
    }


def _lengths_by_correctness(responses: Sequence[Response]) -> dict[str, float]:
    """Without a mean of answers that are not there."""
    lengths = {
        "length_correct": mean_length([response for response in responses if response.correct]),
        "length_wrong": mean_length([response for response in responses if not response.correct]),
    }
    return {name: length for name, length in lengths.items() if length is not None}


def speed_metrics(groups: Sequence[Group], update: Update, seconds: dict[str, float]) -> dict[str, float]:
    """Where the time of a step went, and tokens a second of sampling and of training."""
    sampled = sum(len(completion.tokens) for group in groups for completion in group.completions)
    return {f"seconds_{phase}": spent for phase, spent in seconds.items()} | {
        "rollout_tokens_per_second": sampled / seconds["rollout"],
        "training_tokens_per_second": update.tokens * update.passes / seconds["training"],
    }


def sample_rows(
    step: int, groups: Sequence[Group], scores: Sequence[Sequence[Score]], advantage_PG: Tensor
) -> list[dict[str, Any]]:
    """One row an answer."""
    return [
        {
            "step": step,
            "problem": group.problem.id,
            "prompt": [dict(message) for message in group.problem.messages],
            "gold": group.problem.gold,
            "completion": completion.text,
            "tokens": len(completion.tokens),
            "ended": completion.ended,
            "reward": score.reward,
            "reward_parts": score.parts,
            "correct": score.correct,
            "traits": score.traits,
            "advantage": advantage,
        }
        for group, row, advantage_G in zip(groups, scores, advantage_PG.tolist(), strict=True)
        for completion, score, advantage in zip(group.completions, row, advantage_G, strict=True)
    ]
