"""The rollout of a step: draw problems, sample, score, replace what is no use; and what the journal says of it."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from paring.evaluation.measuring import trait_shares
from paring.maths.advantages import Outcome, without_signal
from paring.rollout.engine import Engine, Rollout
from paring.runtime.machine import Stopwatch
from paring.runtime.text import count_words
from paring.tasks.base import judged
from paring.tasks.mixture import Mixture, label_of
from paring.training.draws import others_of_step, problems_of_step
from paring.training.optim import Update
from paring.training.setup import Setup, redraws
from paring.training.shares import Answered, plain_answered, read_answered
from paring.training.world import ALONE, World
from paring.types import Completion, Group, Json, Key, Message, Problem, Score

OF_A_TASK = ("reward", "reward_parts", "accuracy", "length", "truncated")
"""The metrics of each of several tasks."""
LARGEST_REWARD = 1e100
"""Means and spreads of rewards beyond it may overflow, although each is finite."""


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


@dataclass(frozen=True)
class Collected:
    """All groups that a step sampled, in that order, their scores, and the places of those that are trained on."""

    groups: list[Group]
    scores: list[list[Score]]
    kept: list[int]
    labels: Sequence[str] = ()
    """The task of each group, by its label, where there are several."""

    @property
    def kept_groups(self) -> list[Group]:
        return [self.groups[place] for place in self.kept]

    def reward_PG(self) -> Tensor:
        """The rewards of all groups: float64. Raises ValueError where one is no number, or beyond LARGEST_REWARD."""
        reward_PG = torch.tensor([[score.reward for score in row] for row in self.scores], dtype=torch.float64)
        is_bad_PG = ~(reward_PG.abs() <= LARGEST_REWARD)  # NaN is at most nothing
        if is_bad_PG.any():
            bad = self.groups[int(is_bad_PG.any(-1).nonzero()[0])]
            raise ValueError(
                f"the task gave an answer to problem {bad.problem.id} the reward {float(reward_PG[is_bad_PG][0]):g}: "
                f"it must be finite, and at most {LARGEST_REWARD:g} either way; mend score()"
            )
        return reward_PG

    def outcome(self, longest: int) -> Outcome:
        """The outcome of the groups that are trained on, of answers of at most `longest` tokens. Raises as
        `reward_PG`."""
        answers = max((group.problem.most_answers for group in self.groups), default=1)
        return Outcome(
            self.reward_PG()[self.kept],
            torch.tensor([[score.correct for score in self.scores[place]] for place in self.kept]),
            torch.tensor([[one.drawn for one in group.completions] for group in self.kept_groups]),
            longest * answers,
            torch.tensor([[one.ended for one in group.completions] for group in self.kept_groups]),
            {name: self._part_PG(name) for name in dict.fromkeys(self._part_names())},
        )

    def _part_names(self) -> list[str]:
        return [name for place in self.kept for score in self.scores[place] for name in score.parts]

    def _part_PG(self, name: str) -> Tensor:
        """One part of the rewards of the groups that are trained on, 0 where a score has none: float64."""
        parts = [[score.parts.get(name, 0.0) for score in self.scores[place]] for place in self.kept]
        return torch.tensor(parts, dtype=torch.float64)

    def metrics(self, *, sampled: bool) -> dict[str, Json]:
        """The metrics of the answers, by the names of the glossary. Solutions, which were not `sampled`, have no
        entropy, and as groups of one no signal to miss. Raises as `reward_PG`.

        The entropy is estimated by -log pi of the sampled tokens: unbiased at temperature 1 with the whole
        distribution, and it costs nothing, where the exact one is a pass over tokens x vocabulary."""
        scores = [score for row in self.scores for score in row]
        completions = [completion for group in self.groups for completion in group.completions]
        lengths = [completion.drawn for completion in completions]
        by_correctness = {
            name: [length for length, score in zip(lengths, scores, strict=True) if score.correct == correct]
            for name, correct in (("length_correct", True), ("length_wrong", False))
        }
        names = dict.fromkeys(name for score in scores for name in score.parts)
        reward_PG = self.reward_PG()
        of_samples: dict[str, Json] = {
            "groups_without_signal": float(without_signal(reward_PG).float().mean()),
            "entropy": -sum(sum(completion.logprobs) for completion in completions) / sum(lengths),
        }
        failures = failures_of(scores)
        return {
            "reward": float(reward_PG.mean()),
            "reward_parts": {name: sum(score.parts.get(name, 0.0) for score in scores) / len(scores) for name in names},
            "accuracy": sum(score.correct for score in scores) / len(scores),
            "traits": trait_shares(scores),
            "length": sum(lengths) / len(lengths),
            **{name: sum(of_these) / len(of_these) for name, of_these in by_correctness.items() if of_these},
            "length_max": max(lengths),
            "truncated": sum(not completion.ended for completion in completions) / len(completions),
            **({"answers": answers} if (answers := answers_each(completions)) else {}),
            **({"reward_failures": failures} if failures else {}),
        } | (of_samples if sampled else {})

    def by_task(self) -> dict[str, Json]:
        """Metrics for the journal of each of several tasks that the step has sampled; empty for a single one."""
        parts: dict[str, Json] = {}
        for label in dict.fromkeys(self.labels):
            places = [place for place, one in enumerate(self.labels) if one == label]
            own = Collected([self.groups[place] for place in places], [self.scores[place] for place in places], [])
            metrics = own.metrics(sampled=False)
            parts[label] = {"problems": len(places)} | {name: metrics[name] for name in OF_A_TASK}
        return {"tasks": parts} if parts else {}

    def speed(self, update: Update, seconds: dict[str, float]) -> dict[str, float]:
        """Where the time of the step went, and tokens a second of sampling and of training."""
        sampled = sum(completion.drawn for group in self.groups for completion in group.completions)
        return {f"seconds_{phase}": spent for phase, spent in seconds.items()} | {
            "rollout_tokens_per_second": sampled / seconds["rollout"],
            "training_tokens_per_second": update.tokens * update.passes / seconds["training"],
        }

    def rows(self, step: int, advantage_FG: Tensor) -> list[AnswerRow]:
        """All answers for samples.jsonl; `advantage_FG` is of the groups kept, and 0 is written for those replaced."""
        advantage_PG = advantage_FG.new_zeros(len(self.groups), *advantage_FG.shape[1:])
        advantage_PG[self.kept] = advantage_FG
        return [
            AnswerRow(
                *(step, group.problem.id, group.problem.messages, group.problem.gold),
                *(completion.text, completion.drawn, completion.ended),
                *(score.reward, score.parts, score.correct, score.traits, advantage),
            )
            for group, row, advantage_G in zip(self.groups, self.scores, advantage_PG.tolist(), strict=True)
            for completion, score, advantage in zip(group.completions, row, advantage_G, strict=True)
        ]


def collect(
    setup: Setup, rollout: Rollout, key: Key, watch: Stopwatch, world: World = ALONE, *, engine: Engine | None = None
) -> Collected:
    """The groups of step `key.step`. Under redraws, problems whose answers are all right, or all wrong, or get the same
    reward, are replaced by others of the training split; those that are still so in the end stay. Which others is a
    function of (seed, step) alone, and none is sampled twice in a step. Each process of the world samples and judges
    its share, and knows all groups in the end. `engine`: what samples in place of the setup's sampler. Raises as
    Engine.sample."""
    with watch("rollout"):
        sampler = engine or setup.sampler.of_step(key.step)
    group_size = 1 if setup.objective.from_solutions else rollout.group_size
    by_verdict = rollout.redraw_by == "correct"

    def answered(problems: Sequence[Problem]) -> list[Answered]:
        with watch("rollout"):
            groups = sampler.sample(problems, group_size, rollout.sampling, key)
        with watch("score"):
            scores = judged(setup.task, groups)
        return [
            (group, [weighted(score, setup.weights) for score in row])
            for group, row in zip(groups, scores, strict=True)
        ]

    def sampled(problems: Sequence[Problem]) -> tuple[list[Group], list[list[Score]]]:
        with nullcontext() if world.is_first else watch("rollout"):
            found = world.shared(problems, answered, plain=plain_answered, read=read_answered)
        return [group for group, _ in found], [scores for _, scores in found]

    place_of_step = {"seed": key.seed, "step": key.step}
    problems = problems_of_step(setup.task, setup.parts, rollout.problems, **place_of_step)
    others = {label: others_of_step(own, problems, **place_of_step) for label, own in setup.parts.items()}
    groups, scores = sampled(problems)
    kept = list(range(len(groups)))
    is_mixture = isinstance(setup.task, Mixture)
    labels = [label_of(problem.id) if is_mixture else "" for problem in problems]
    for _ in range(redraws(rollout, setup.objective)):
        signals = [{score.correct if by_verdict else score.reward for score in scores[index]} for index in kept]
        useless = [place for place, signal in enumerate(signals) if len(signal) == 1]
        if not useless:
            break
        found = [(place, next(others[labels[kept[place]]], None)) for place in useless]
        replaced = [(place, other) for place, other in found if other is not None]
        more_groups, more_scores = sampled([other for _, other in replaced])
        for index, (place, _) in enumerate(replaced, start=len(groups)):
            labels.append(labels[kept[place]])
            kept[place] = index
        groups, scores = groups + more_groups, scores + more_scores
    return Collected(groups, scores, kept, labels if is_mixture else ())


def answers_each(completions: Sequence[Completion]) -> float | None:
    """The mean number of answers of a conversation; None where no environment replies."""
    counts = [len(completion.scores) for completion in completions if completion.scores]
    return sum(counts) / len(counts) if counts else None


def failures_of(scores: Sequence[Score]) -> dict[str, Json]:
    """By part of the reward, for how many answers it could not be computed, and why for the first of them."""
    failures: dict[str, Json] = {}
    for name in dict.fromkeys(name for score in scores for name in score.failed):
        reasons = [score.failed[name] for score in scores if name in score.failed]
        failures[name] = {"answers": len(reasons), "reason": reasons[0]}
    return failures


def failures_in_words(metrics: Mapping[str, Json]) -> list[str]:
    """A line for each part of the reward that could not be computed for some answers of a step."""
    failures = metrics.get("reward_failures")
    parts = failures.items() if isinstance(failures, dict) else ()
    return [
        f"reward {name} could not be computed for {count_words(int(answers), 'answer')}: {reason}"
        for name, part in parts
        if isinstance(part, dict)
        and isinstance(answers := part.get("answers"), int)
        and isinstance(reason := part.get("reason"), str)
    ]


def weighted(score: Score, weights: Mapping[str, float]) -> Score:
    """The score with the parts of its reward multiplied by the weights of a recipe's `rewards`."""
    return replace(score, parts={name: part * weights.get(name, 1.0) for name, part in score.parts.items()})
