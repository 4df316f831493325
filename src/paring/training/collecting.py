"""The rollout of a step: draw problems, sample, score; and where the objective asks for it, replace what is no use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor

from paring.maths.advantages import Outcome
from paring.rollout.engine import Rollout
from paring.runtime.machine import Stopwatch
from paring.tasks.base import judged
from paring.training.draws import items_of_step, others_of_step
from paring.training.setup import Setup
from paring.types import Group, Key, Problem, Score


@dataclass(frozen=True)
class Collected:
    """All groups that a step sampled, in that order, their scores, and the places of those that are trained on."""

    groups: list[Group]
    scores: list[list[Score]]
    kept: list[int]

    @property
    def kept_groups(self) -> list[Group]:
        return [self.groups[place] for place in self.kept]

    def reward_PG(self) -> Tensor:
        """The rewards of all groups: float64. Raises ValueError where one is not a finite number."""
        reward_PG = torch.tensor([[score.reward for score in row] for row in self.scores], dtype=torch.float64)
        if not reward_PG.isfinite().all():
            bad = self.groups[int((~reward_PG.isfinite()).any(-1).nonzero()[0])]
            raise ValueError(
                f"the task gave an answer to problem {bad.problem.id} a reward that is not finite: mend score()"
            )
        return reward_PG

    def outcome(self, longest: int) -> Outcome:
        """What became of those that are trained on. Raises as `reward_PG`."""
        return Outcome(
            self.reward_PG()[self.kept],
            torch.tensor([[score.correct for score in self.scores[place]] for place in self.kept]),
            torch.tensor([[len(one.tokens) for one in group.completions] for group in self.kept_groups]),
            longest,
        )

    def of_all(self, value_KG: Tensor) -> Tensor:
        """A value of the groups kept as one of all groups, 0 for those that were replaced."""
        value_PG = value_KG.new_zeros(len(self.groups), *value_KG.shape[1:])
        value_PG[self.kept] = value_KG
        return value_PG


def collect(setup: Setup, rollout: Rollout, key: Key, watch: Stopwatch) -> Collected:
    """The groups of step `key.step`. Where the objective redraws, problems whose answers are all right, or all wrong,
    are replaced by others of the training split; those that are still so in the end stay. Which others is a function
    of (seed, step) alone, and none is sampled twice in a step. Raises as Engine.sample."""
    group_size = 1 if setup.objective.from_solutions else rollout.group_size

    def sampled(problems: Sequence[Problem]) -> tuple[list[Group], list[list[Score]]]:
        with watch("rollout"):
            groups = setup.sampler.sample(problems, group_size, rollout.sampling, key)
        with watch("score"):
            return groups, weighted(judged(setup.task, groups), setup.weights)

    problems = items_of_step(setup.problems, rollout.problems, seed=key.seed, step=key.step)
    others = others_of_step(setup.problems, problems, seed=key.seed, step=key.step)
    groups, scores = sampled(problems)
    kept = list(range(len(groups)))
    for _ in range(setup.objective.redraws):
        useless = [place for place, index in enumerate(kept) if len({score.correct for score in scores[index]}) == 1]
        more_groups, more_scores = sampled(list(islice(others, len(useless))))
        for place, index in zip(useless, range(len(groups), len(groups) + len(more_groups)), strict=False):
            kept[place] = index
        groups, scores = groups + more_groups, scores + more_scores
    return Collected(groups, scores, kept)


def weighted(scores: Sequence[Sequence[Score]], weights: Mapping[str, float]) -> list[list[Score]]:
    """The scores with the parts of their rewards multiplied by the weights of a recipe's `rewards`."""
    return [
        [
            replace(score, parts={name: part * weights.get(name, 1.0) for name, part in score.parts.items()})
            for score in row
        ]
        for row in scores
    ]
