"""Adapters whose budget is shared out by the rules of other papers, on LoRA's factors and optimiser."""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field

from paring.adapters.allocation import Prices, cubic_budget, plan_by_score, plan_to, proportional_ranks
from paring.adapters.first_rows import Draw, FirstA, drawn_as
from paring.adapters.gradient_scores import GradientNorm, GradientWatch, Sensitivity
from paring.adapters.lowrank import plain_scale
from paring.adapters.ranks import RankPlan
from paring.adapters.targets import Targets
from paring.settings.declare import Count, CountOrZero, Positive, Share, settings

Budget = Literal["parameters", "ranks"]
Features = Mapping[str, tuple[int, int]]
"""Module path -> (inputs, outputs)."""


@settings
class _Budgeted:
    """The settings that both have. The run ends with at most the budget of LoRA of `rank`; s = alpha / rank, whatever
    the ranks become."""

    rank: Count = 8
    """The rank in whose budget the run ends: never more than LoRA of this rank has."""
    alpha: Positive = 16.0
    dropout: Share = 0.0
    targets: Targets = "all-linear"
    init_a: FirstA = "uniform"
    budget: Budget = "parameters"
    """The unit of the budget: parameters or ranks."""

    @property
    def draw(self) -> Draw:
        """How the rows of A begin."""
        return drawn_as(self.init_a, self.rank)

    @property
    def scale(self) -> float:
        """s = alpha / rank, whatever the ranks become."""
        return plain_scale(self.alpha, self.rank)

    def prices(self, features: Features) -> dict[str, int]:
        """The share of the budget that one rank takes in each module."""
        return {path: sum(sides) if self.budget == "parameters" else 1 for path, sides in features.items()}

    def whole(self, prices: Prices) -> int:
        """The budget in which the run ends."""
        return self.rank * sum(prices.values())


@settings
class Adalora(_Budgeted):
    """The rule of AdaLoRA (arXiv 2303.10512): all modules start above `rank`, and the budget falls by a cubic curve to
    that of `rank`. At each rank event the components of the lowest sensitivity x uncertainty go, over all modules.

    Differences from AdaLoRA: the factors are LoRA's, without singular values and without the term that keeps them
    orthogonal; what goes is gone, where AdaLoRA's singular values stay at 0 and may return."""

    kind: Literal["adalora"] = "adalora"
    slack: Annotated[float, Field(ge=1, le=8)] = 1.5
    """The start rank is so many times `rank`, rounded: AdaLoRA's init_r / target_r."""
    events: Count = 10
    """Rank events, evenly spaced between `begin` and `settle`."""
    begin: Share = 0.1
    """The first part of the run, in which no rank is removed: AdaLoRA's tinit."""
    settle: Share = 0.3
    """The last part of the run, in which the ranks are fixed: AdaLoRA's tfinal."""

    def __post_init__(self) -> None:
        if self.begin + self.settle >= 1:
            raise ValueError(
                f"begin + settle = {self.begin + self.settle:g}: no part of the run is left in which ranks could move; "
                "their sum must be below 1"
            )

    @property
    def first_rank(self) -> int:
        """The rank of every module at the start."""
        return max(self.rank, round(self.slack * self.rank))

    def watch(self) -> GradientWatch:
        return Sensitivity()

    def may_grow(self, step: int, steps: int) -> bool:
        """Ranks only fall."""
        return False

    def is_event(self, step: int, steps: int) -> bool:
        """Whether ranks move after step `step`, from 1, of `steps`."""
        begin, end = self._moving(steps)
        before, now = ((max(0, at - begin) * self.events) // (end - begin) for at in (step - 1, step))
        return now > before and step <= end

    def plan(
        self, features: Features, ranks: Mapping[str, int], watch: GradientWatch, *, step: int, steps: int, seed: int
    ) -> RankPlan:
        """The components that go after step `step` of `steps`."""
        assert isinstance(watch, Sensitivity)
        if not watch.state:
            return RankPlan({}, 0)  # no step has had a gradient
        prices, (begin, end) = self.prices(features), self._moving(steps)
        whole = self.whole(prices)
        first = self.first_rank / self.rank * whole
        budget = cubic_budget(first, whole, step=step, begin=begin, end=end)
        return plan_by_score({path: watch.scores(path) for path in ranks}, prices, budget)

    def check_events(self, steps: int) -> None:
        """Raises ValueError where the events do not fit a run of `steps`."""
        begin, end = self._moving(steps)
        if self.events > end - begin:
            raise ValueError(
                f"adapter.events = {self.events}: ranks move in steps {begin + 1} to {end} of {steps}, and there is at "
                "most one event a step; lower adapter.events or raise steps"
            )

    def _moving(self, steps: int) -> tuple[int, int]:
        """The last step before ranks may move, and the last after which they do."""
        return int(self.begin * steps), int((1 - self.settle) * steps)


@settings
class Allocated(_Budgeted):
    """LoRA whose budget is shared out once, after the first `probe` steps at `rank`, and whose ranks are fixed from
    then on."""

    kind: Literal["allocated"] = "allocated"
    rule: Literal["gradient", "random"] = "gradient"
    """gradient: ranks in proportion to the norm of the gradient by the module's weight, or as they are where the probe
    taught nothing; random: in proportion to numbers that follow from the seed, uniform over all shares."""
    probe: Count = 1
    """Steps before the budget is shared out."""
    cap: CountOrZero = 0
    """The greatest rank of a module; 0: eight times `rank`. Never above the module's smaller side."""

    @property
    def first_rank(self) -> int:
        """The rank of every module at the start."""
        return self.rank

    @property
    def greatest(self) -> int:
        """The greatest rank that a module may come to have."""
        return self.cap or 8 * self.rank

    def watch(self) -> GradientWatch:
        return GradientNorm()

    def may_grow(self, step: int, steps: int) -> bool:
        """Whether ranks can be given at an event after step `step`."""
        return True

    def is_event(self, step: int, steps: int) -> bool:
        """Whether the budget is shared out after step `step`."""
        return step == self.probe

    def plan(
        self, features: Features, ranks: Mapping[str, int], watch: GradientWatch, *, step: int, steps: int, seed: int
    ) -> RankPlan:
        """From the ranks of now to those of the rule."""
        assert isinstance(watch, GradientNorm)
        if self.rule == "gradient":
            weights = {path: watch.norm(path) for path in features}
        else:
            weights = {path: _exponential(seed, path) for path in features}
        if not any(weights.values()):
            return RankPlan({}, 0)  # nothing was learned in the probe: the ranks stay as they are
        prices, most = self.prices(features), {path: min(self.greatest, *sides) for path, sides in features.items()}
        budget = self.whole(prices)
        to = proportional_ranks(weights, prices, most, budget)
        return plan_to(ranks, to, budget - sum(rank * prices[path] for path, rank in to.items()))

    def check_events(self, steps: int) -> None:
        """Raises ValueError where nothing of a run of `steps` is left after the probe."""
        if self.probe >= steps:
            raise ValueError(
                f"adapter.probe = {self.probe}: no step of {steps} is left after it, and new components would stay "
                "untrained; lower adapter.probe or raise steps"
            )


def _exponential(seed: int, path: str) -> float:
    """A draw of Exp(1). Such numbers, divided by their sum, are uniform over all shares (Dirichlet of ones)."""
    digest = hashlib.sha256(f"{seed} share {path}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8]))
    return float(torch.empty(()).exponential_(generator=generator))


Allocator = Adalora | Allocated
