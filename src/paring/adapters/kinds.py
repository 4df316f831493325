"""The adapters that a recipe can ask for, and of LoRA, the reference of L1RA and SoRA the settings themselves."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from paring.adapters.allocators import Adalora, Allocated, Allocator
from paring.adapters.beginning import Beginning
from paring.adapters.budgets import Start, check_budget
from paring.adapters.first_rows import Draw, FirstA, drawn_as
from paring.adapters.fixed_ranks import RankTable, module_ranks, stated_ranks
from paring.adapters.gates import DeadZone, SoftThreshold
from paring.adapters.l1ra import L1ra
from paring.adapters.lowrank import plain_scale, rank_stabilised_scale
from paring.adapters.ranks import Gates, Move, RankPlan, plan_as_reference, without_closed
from paring.adapters.targets import Targets
from paring.settings.declare import Count, CountOrZero, NotNegative, Positive, Share, settings


@settings
class Lora(Beginning):
    """Low-rank adapters of one rank on all targets (LoRA, arXiv 2106.09685), or of the rank that `ranks` gives each.

    The scale is that of `rank`, whatever the rank of a module.
    With `start` the scales are those of the folder (peft_reading.attach_from_peft)."""

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
    b_rate: Positive = 1.0
    """LoRA+ (arXiv 2402.12354): B learns at so many times the learning rate of A; 1: LoRA."""

    def __post_init__(self) -> None:
        super().__post_init__()
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
class Dora:
    """DoRA (arXiv 2402.09353): W' = m (W + s B A) / |W + s B A|, where m, one number a row, is trained beside A and B.
    The weights of the base must be dense."""

    kind: Literal["dora"] = "dora"
    rank: Count = 8
    alpha: Positive = 16.0
    dropout: Share = 0.0
    scaling: Literal["plain", "rank-stabilised"] = "plain"
    targets: Targets = "all-linear"
    init_a: FirstA = "uniform"
    b_rate: Positive = 1.0
    """LoRA+ (arXiv 2402.12354): B learns at so many times the learning rate of A and m; 1: DoRA."""

    @property
    def first_rank(self) -> int:
        """The rank of every module, throughout."""
        return self.rank

    @property
    def draw(self) -> Draw:
        """How the rows of A begin."""
        return drawn_as(self.init_a, self.rank)

    @property
    def scale(self) -> float:
        """s in W + s B A."""
        rule = plain_scale if self.scaling == "plain" else rank_stabilised_scale
        return rule(self.alpha, self.rank)


@settings
class L1raReference(Beginning):
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

    @property
    def first_rank(self) -> int:
        """The rank of every module at the start."""
        return self.rank

    @property
    def scale(self) -> float:
        return plain_scale(self.alpha, self.rank)

    @property
    def draw(self) -> Draw:
        return drawn_as(self.init_a, self.rank)

    def gate_rule(self, updates: int) -> DeadZone:
        return DeadZone(lr=self.gate_lr, l1=self.l1)

    def is_event(self, step: int, steps: int) -> bool:
        """At every multiple of int(ratio x total), before the step that follows: never after the last one."""
        return step % (steps // self.events) == 0 and step < steps

    def may_grow(self, step: int, steps: int) -> bool:
        return True

    def plan(self, gates: Gates, *, matrices_lr: float) -> RankPlan:
        """The part that moves ranks, in a run whose matrices learn at this rate."""
        return plan_as_reference(
            gates, budget=self.rank * len(gates), threshold=matrices_lr * self.l1 + self.prune_below
        )

    def check_start(self, modules: Start) -> None:
        """As of L1ra; there is a budget alone."""
        check_budget(self.rank, {path: (rank, 1) for path, (rank, _) in modules.items()})


@settings
class Sora(Beginning):
    """SoRA (arXiv 2311.11696): y = W x + s B diag(c) A x, where L1 shrinks all gates alike, and components whose gates
    are 0 at an event are removed. None is given to another module.

    Differences from the paper: gates begin at 1 and not at random, and stay at 0 or above; `shrink` is the total of a
    run, which the paper gives as the threshold xi of a step."""

    kind: Literal["sora"] = "sora"
    rank: Count = 8
    alpha: Positive = 16.0
    dropout: Share = 0.0
    targets: Targets = "all-linear"
    init_a: FirstA = "uniform"
    shrink: NotNegative = 1.5
    """How far L1 moves every gate in the whole run, where the loss does not hold it up: xi times the updates."""
    reach: Positive = 1.0
    """How far Adam can move a gate in the whole run: the gates' learning rate is reach / updates."""
    events: Annotated[Count, Field(description="rank events, evenly spaced, the last at the end of the run")] = 1

    @property
    def first_rank(self) -> int:
        """The rank of every module at the start."""
        return self.rank

    @property
    def scale(self) -> float:
        """s = alpha / rank, whatever the ranks become."""
        return plain_scale(self.alpha, self.rank)

    @property
    def draw(self) -> Draw:
        """How the rows of A begin."""
        return drawn_as(self.init_a, self.rank)

    def gate_rule(self, updates: int) -> SoftThreshold:
        return SoftThreshold(self.reach / updates, self.shrink / updates)

    def is_event(self, step: int, steps: int) -> bool:
        """Whether closed components are removed after step `step`, from 1, of `steps`."""
        return step * self.events // steps > (step - 1) * self.events // steps

    def may_grow(self, step: int, steps: int) -> bool:
        """Ranks only fall."""
        return False

    def plan(self, gates: Gates, *, matrices_lr: float) -> RankPlan:
        """The components at 0 go; if all are, one stays, for something has to carry a gradient."""
        moves = without_closed(gates)
        if moves.keys() == gates.keys() and not any(move.kept for move in moves.values()):
            moves[next(iter(moves))] = Move((0,), 0)
        return RankPlan(moves, 0)

    def check_start(self, modules: Start) -> None:
        """Any adapter can be started from."""


Adapter = Annotated[Lora | Dora | L1ra | L1raReference | Sora | Adalora | Allocated, Field(discriminator="kind")]
Gated = L1ra | L1raReference | Sora
Moving = Gated | Allocator
"""The kinds whose ranks move."""


def check_events(adapter: Adapter, steps: int) -> None:
    """Raises ValueError where the schedule of rank events does not fit a run of `steps`."""
    if isinstance(adapter, L1ra | Allocator):
        adapter.check_events(steps)
    if isinstance(adapter, L1raReference | Sora) and adapter.events > steps:
        raise ValueError(
            f"adapter.events = {adapter.events}: the run has {steps} steps only, and at most one event a step; "
            "lower adapter.events or raise steps"
        )
    if isinstance(adapter, L1ra):
        adapter.check_events(steps)
