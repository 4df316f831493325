"""What the journal says of a step of reinforcement learning: its metrics, and its answers one by one."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from paring.evaluation.measuring import trait_shares
from paring.maths.advantages import without_signal
from paring.training.collecting import Collected
from paring.training.optim import Update
from paring.types import Group, Json, Message


@dataclass(frozen=True)
class AnswerRow:
    """A row of samples.jsonl: one answer of a step."""

    step: int
    problem: str
    prompt: Sequence[Message]
    gold: str
    completion: str
    tokens: int
    ended: bool
    reward: float
    reward_parts: dict[str, float]
    correct: bool
    traits: dict[str, bool]
    advantage: float


def answer_rows(step: int, collected: Collected, advantage_KG: Tensor) -> list[AnswerRow]:
    """All answers of a step, `advantage_KG` being those of the groups kept."""
    advantages = collected.of_all(advantage_KG).tolist()
    return [
        AnswerRow(
            step,
            group.problem.id,
            group.problem.messages,
            group.problem.gold,
            completion.text,
            len(completion.tokens),
            completion.ended,
            score.reward,
            score.parts,
            score.correct,
            score.traits,
            advantage,
        )
        for group, row, advantage_G in zip(collected.groups, collected.scores, advantages, strict=True)
        for completion, score, advantage in zip(group.completions, row, advantage_G, strict=True)
    ]


def rollout_metrics(collected: Collected, *, sampled: bool) -> dict[str, Json]:
    """What the answers of a step say, by the names of the glossary. Solutions, which were not `sampled`, have no
    entropy, and as groups of one no signal to miss.

    The entropy is estimated by -log pi of the sampled tokens: unbiased at temperature 1 with the whole distribution,
    and it costs nothing, where the exact one is a pass over tokens x vocabulary."""
    answers = [score for row in collected.scores for score in row]
    completions = [completion for group in collected.groups for completion in group.completions]
    lengths = [len(completion.tokens) for completion in completions]
    by_correctness = {
        name: [length for length, score in zip(lengths, answers, strict=True) if score.correct == correct]
        for name, correct in (("length_correct", True), ("length_wrong", False))
    }
    names = dict.fromkeys(name for score in answers for name in score.parts)
    reward_PG = collected.reward_PG()
    of_samples: dict[str, Json] = {
        "groups_without_signal": float(without_signal(reward_PG).float().mean()),
        "entropy": -sum(sum(completion.logprobs) for completion in completions) / sum(lengths),
    }
    return {
        "reward": float(reward_PG.mean()),
        "reward_parts": {name: sum(score.parts.get(name, 0.0) for score in answers) / len(answers) for name in names},
        "accuracy": sum(score.correct for score in answers) / len(answers),
        "traits": trait_shares(answers),
        "length": sum(lengths) / len(lengths),
        **{name: sum(of_these) / len(of_these) for name, of_these in by_correctness.items() if of_these},
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


def speed_metrics(groups: Sequence[Group], update: Update, seconds: dict[str, float]) -> dict[str, float]:
    """Where the time of a step went, and tokens a second of sampling and of training."""
    sampled = sum(len(completion.tokens) for group in groups for completion in group.completions)
    return {f"seconds_{phase}": spent for phase, spent in seconds.items()} | {
        "rollout_tokens_per_second": sampled / seconds["rollout"],
        "training_tokens_per_second": update.tokens * update.passes / seconds["training"],
    }
