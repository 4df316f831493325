"""The adapters that a recipe can ask for: LoRA, and L1RA in two variants. Settings, and what follows from them."""

from collections.abc import Mapping
from math import ceil
from typing import Annotated, Literal

from pydantic import Field

from paring.adapters.allocators import Adalora, Allocated, Allocator
from paring.adapters.first_rows import Draw, FirstA, drawn_as
from paring.adapters.fixed_ranks import RankTable, module_ranks, stated_ranks
from paring.adapters.gates import Budget, DeadZone, GateRule, Proximal
from paring.adapters.lowrank import plain_scale, rank_stabilised_scale
from paring.adapters.ranks import Modules, RankPlan, plan_as_reference, plan_ranks
from paring.adapters.targets import Targets
from paring.settings.declare import Count, CountOrZero, NotNegative, Positive, Share, settings

Start = Mapping[str, tuple[int, int]]
"""Adapters to start from: module path -> (rank, parameters of one rank)."""


@settings
class Lora:
    """Low-rank adapters of one rank on all targets (LoRA, arXiv 2106.09685), or of the rank that `ranks` gives each.

    The scale is that of `rank`, whatever the rank of a module.
    `start` is a PEFT LoRA folder to start from; peft_reading.attach_from_peft reads it. Its ranks, scales, dropout and
    targets then hold."""

    kind: Literal["lora"] = "lora"
    rank: Count = 8
    alpha: Positive = 16.0
    dropout: Share = 0.0
    scaling: Literal["plain", "rank-stabilised"] = "plain"
    targets: Targets = "all-linear"
    init_a: FirstA = "uniform"
    ranks: RankTable | str | None = None
    """Ranks by module: `{"*.down_proj" = 4, "*" = 0}`, with whole paths, last parts of paths, or patterns; modules that
    are not named have `rank`, and rank 0 is no adapter. Or a file that `paring ranks RUN --json` wrote."""
    most_parameters: CountOrZero = 0
    """Refuses `ranks` that come to more parameters of adapters; 0: any number."""
    start: str | None = None

    def __post_init__(self) -> None:
        if self.ranks is not None and self.start is not None:
            raise ValueError("ranks and start: the folder to start from has ranks of its own; leave one of them out")
        if self.most_parameters and self.ranks is None:
            raise ValueError("most_parameters bounds what `ranks` come to: give ranks, or leave it out")

    def ranks_on(self, features: Mapping[str, tuple[int, int]]) -> dict[str, int]:
        """The rank of each module, path -> (inputs, outputs); a module of rank 0 is left out. Raises ValueError where
        `ranks` do not fit the modules."""
        if self.ranks is None:
            return dict.fromkeys(features, self.rank)
        stated = stated_ranks(self.ranks)
        return module_ranks(stated, features, default=self.rank, most_parameters=self.most_parameters)

    @property
    def draw(self) -> Draw:
        """How the rows of A begin."""
        return drawn_as(self.init_a, self.rank)

    @property
    def scale(self) -> float:
        """s in y = W x + s B A x."""
        rule = plain_scale if self.scaling == "plain" else rank_stabilised_scale
        return rule(self.alpha, self.rank)


@settings
class L1ra:
    """Low-rank adapters that find their own ranks: y = W x + s B diag(c) A x      (L1RA, arXiv 2509.04884)

    All start at `rank`, with gates c = 1 and s = alpha / rank for good. After each of Adam's steps the gates of the
    least important components are moved towards 0 (gates.Proximal), and reach it unless they come to matter. At rank
    events the components at 0 are removed, which changes nothing, and their budget goes to the modules whose components
    matter most, as new ones with B = 0, which changes nothing either. Both strengths are totals of a run, so that
    neither its length nor the learning rate alters their meaning.
    """

    kind: Literal["l1ra"] = "l1ra"
    rank: Count = 8
    alpha: Positive = 16.0
    dropout: Share = 0.0
    targets: Targets = "all-linear"
    init_a: FirstA = "uniform"
    budget: Budget = "parameters"
    """The conserved quantity: parameters, at most those of LoRA of `rank`; or the sum of the ranks, as in the paper."""
    events: Annotated[Count, Field(description="rank events of the run, evenly spaced, the last at its end")] = 10
    shrink: NotNegative = 6.0
    """How far L1 moves the gate of a component of no importance in the whole run: kappa, the sum of its steps."""
    reach: Positive = 1.0
    """How far Adam can move a gate in the whole run: the gates' learning rate is reach / updates."""
    nominate: Positive = 0.5
    """L1 acts on components whose importance is below this share of the mean. More removes more, and costs more: what
    shrinks also learns more slowly (docs/results.md, section 6)."""
    floor: CountOrZero = 1
    """The least rank of a module: its most important components stay, whatever their gates. At 0 it may lose all."""
    cap: CountOrZero = 0
    """The greatest rank of a module; 0: four times `rank`."""
    settle: Share = 0.2
    """The last part of the run, in which ranks are removed but none is given: a new one would hardly be trained."""
    start: str | None = None
    """A PEFT LoRA folder to start from. Its ranks, dropout and targets then hold; `rank` sets the budget alone."""

    def __post_init__(self) -> None:
        if self.floor > self.rank:
            raise ValueError(f"floor = {self.floor} is above the start rank {self.rank}: the budget could not pay it")
        if self.cap and self.cap < self.rank:
            raise ValueError(f"cap = {self.cap} is below the start rank {self.rank}: raise it, or set 0 for 4 x rank")
        if self.shrink + self.reach < 1:
            raise ValueError(
                f"shrink + reach = {self.shrink + self.reach:g}: no gate could come from 1 to 0, so that no rank would "
                "ever move; their sum must be at least 1"
            )

    @property
    def draw(self) -> Draw:
        return drawn_as(self.init_a, self.rank)

    @property
    def scale(self) -> float:
        """s = alpha / rank, whatever the ranks become."""
        return plain_scale(self.alpha, self.rank)

    @property
    def greatest(self) -> int:
        """The greatest rank that a module may come to have."""
        return self.cap or 4 * self.rank

    def gate_rule(self, updates: int) -> GateRule:
        """How the gates move in a run of so many updates."""
        return Proximal(self.reach / updates, self.shrink / updates, self.nominate, self.budget)

    def is_event(self, step: int, steps: int) -> bool:
        """Whether ranks move after step `step`, from 1, of `steps`."""
        return step * self.events // steps > (step - 1) * self.events // steps

    def may_grow(self, step: int, steps: int) -> bool:
        """Whether what is free after step `step` is given to other modules."""
        return step <= (1 - self.settle) * steps and step < steps

    def plan(self, modules: Modules, *, step: int, steps: int, matrices_lr: float) -> RankPlan:
        """The components that the event after step `step` removes and adds."""
        return plan_ranks(
            modules,
            budget=self.rank * sum(self.price(module.cost) for module in modules.values()),
            price=self.price,
            floor=self.floor,
            cap=self.greatest,
            grow=self.may_grow(step, steps),
        )

    def price(self, cost: int) -> int:
        """The share of the budget that one rank takes in a module where it has `cost` parameters."""
        return cost if self.budget == "parameters" else 1

    def check_start(self, modules: Start) -> None:
        """Raises ValueError where adapters to start from do not fit floor, cap and budget."""
        ranks, cap = [rank for rank, _ in modules.values()], self.greatest
        if min(ranks) < self.floor:
            raise ValueError(
                f"adapter.floor = {self.floor}, and a module of adapter.start has rank {min(ranks)}: lower the floor"
            )
        if max(ranks) > cap:
            raise ValueError(
                f"a module of adapter.start has rank {max(ranks)}, above the cap of {cap}: "
                f"set adapter.cap = {max(ranks)} or higher"
            )
        _check_budget(self.rank, {path: (rank, self.price(cost)) for path, (rank, cost) in modules.items()})


@settings
class L1raReference:
    """L1RA as its reference code has it (raul-singh/L1RA, branch dev), so that its behaviour can be studied.

    Differences from L1ra: gates by AdamE's rule with its dead zone; removed below a threshold, the last component kept
    rather than the largest; ranks given in turn to the modules with the largest smallest gate; no cap, no end of
    giving; and Adam starts anew, all moments lost, at each event that removes something."""

    kind: Literal["l1ra-reference"] = "l1ra-reference"
    rank: Count = 16
    alpha: Positive = 16.0
    dropout: Share = 0.0
    targets: Targets = "all-linear"
    init_a: FirstA = "normal"
    budget: Literal["ranks"] = "ranks"
    events: Annotated[Count, Field(description="1 / rank_update_ratio of the reference")] = 20
    l1: NotNegative = 0.005
    """lambda, the weight of the L1 norm."""
    gate_lr: Positive = 0.02
    """eta_c, the gates' learning rate; constant, without warm-up."""
    prune_below: NotNegative = 1e-6
    """prune_threshold; what removes is this plus l1 x the matrices' learning rate."""
    start: str | None = None
    """As in L1ra."""

    @property
    def scale(self) -> float:
        return plain_scale(self.alpha, self.rank)

    @property
    def draw(self) -> Draw:
        return drawn_as(self.init_a, self.rank)

    def gate_rule(self, updates: int) -> GateRule:
        return DeadZone(lr=self.gate_lr, l1=self.l1)

    def is_event(self, step: int, steps: int) -> bool:
        """At every multiple of int(ratio x total), before the step that follows: never after the last one."""
        return step % (steps // self.events) == 0 and step < steps

    def may_grow(self, step: int, steps: int) -> bool:
        return True

    def plan(self, modules: Modules, *, step: int, steps: int, matrices_lr: float) -> RankPlan:
        return plan_as_reference(
            modules, budget=self.rank * len(modules), threshold=matrices_lr * self.l1 + self.prune_below
        )

    def check_start(self, modules: Start) -> None:
        """As of L1ra; there is a budget alone."""
        _check_budget(self.rank, {path: (rank, 1) for path, (rank, _) in modules.items()})


def _check_budget(rank: int, modules: Start) -> None:
    """Raises ValueError where ranks cost more than `rank` in every module would. `modules`: rank, and price of one."""
    whole, one = sum(own * price for own, price in modules.values()), sum(price for _, price in modules.values())
    if whole > rank * one:
        raise ValueError(
            f"adapter.start is larger than the budget of adapter.rank = {rank} ({whole:,} against {rank * one:,}): "
            f"set adapter.rank = {ceil(whole / one)} or higher"
        )


Adapter = Annotated[Lora | L1ra | L1raReference | Adalora | Allocated, Field(discriminator="kind")]
Gated = L1ra | L1raReference
Moving = Gated | Allocator
"""The kinds whose ranks move."""


def check_events(adapter: Adapter, steps: int) -> None:
    """Raises ValueError where the schedule of rank events does not fit a run of `steps`."""
    if isinstance(adapter, Allocator):
        adapter.check_events(steps)
    if isinstance(adapter, Gated) and adapter.events > steps:
        raise ValueError(
            f"adapter.events = {adapter.events}: the run has {steps} steps only, and at most one event a step; "
            "lower adapter.events or raise steps"
        )
