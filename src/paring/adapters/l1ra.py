"""L1RA, as a recipe asks for it: its settings, the schedule of its rank events, and the rules that follow."""

from typing import Annotated, Literal

from pydantic import Field

from paring.adapters.beginning import Beginning
from paring.adapters.budgets import Budget, Start, check_budget
from paring.adapters.first_rows import Draw, FirstA, drawn_as
from paring.adapters.gates import Proximal
from paring.adapters.lowrank import plain_scale
from paring.adapters.ranks import RankEvent, RankPlan
from paring.adapters.targets import Targets
from paring.adapters.water import Level, Levels, nominated, plan_by_water, valued
from paring.settings.declare import Count, CountOrZero, NotNegative, Positive, Share, settings


@settings
class L1ra(Beginning):
    """Low-rank adapters that find their own ranks: y = W x + s B diag(c) A x      (L1RA, arXiv 2509.04884)

    All start above `rank`, with gates c = 1 and s = alpha / rank for good. At rank events each component is measured by
    what it does to the function (adapters/importance.py), after the components were turned so that they are independent
    (adapters/rotation.py), and counts for more where training has chosen its direction (adapters/water.py). Those that
    the budget cannot keep are nominated: until the next event L1 moves their gates towards 0, and the loss may hold
    them up. Then what is at 0 goes, with what lies below one level over all modules, and modules whose last component
    counts most get new ones, with B = 0. The budget falls to that of `rank` in every module; the last part of the run
    keeps its ranks.
    """

    kind: Literal["l1ra"] = "l1ra"
    rank: Count = 8
    """The rank in whose budget the run ends: never more than LoRA of this rank has."""
    alpha: Positive = 16.0
    dropout: Share = 0.0
    targets: Targets = "all-linear"
    init_a: FirstA = "uniform"
    budget: Budget = "parameters"
    """The unit of the budget: parameters, or ranks, as in the paper."""
    slack: Annotated[float, Field(ge=1, le=8)] = 2.0
    """The start rank is so many times `rank`, rounded; the budget falls from there in a straight line."""
    events: Count = 6
    """Rank events, evenly spaced, the last where the ranks settle."""
    settle: Annotated[float, Field(gt=0, lt=1)] = 1 / 3
    """The last part of the run, in which the ranks are fixed: new components have to be trained."""
    shrink: NotNegative = 6.0
    """How far L1 moves the gate of a component of no worth between two events."""
    reach: Positive = 1.0
    """How far Adam can move a gate in the whole run: the gates' learning rate is reach / updates."""
    floor: CountOrZero = 0
    """The least rank of a module. At 0 it may lose all, and then it gets none again."""
    cap: CountOrZero = 0
    """The greatest rank of a module; 0: eight times `rank`. Never above the module's smaller side."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.floor > self.rank:
            raise ValueError(f"floor = {self.floor} is above rank = {self.rank}: the budget could not pay it")
        if self.cap and self.cap < self.first_rank:
            raise ValueError(
                f"cap = {self.cap} is below the start rank, slack x rank = {self.first_rank}: raise it, or set 0"
            )

    @property
    def draw(self) -> Draw:
        """How the rows of A begin."""
        return drawn_as(self.init_a, self.rank)

    @property
    def first_rank(self) -> int:
        """The rank of every module at the start."""
        return max(self.rank, round(self.slack * self.rank))

    @property
    def greatest(self) -> int:
        """The greatest rank that a module may come to have, if its smaller side allows it."""
        return self.cap or 8 * self.rank

    @property
    def scale(self) -> float:
        """s = alpha / rank, whatever the ranks become."""
        return plain_scale(self.alpha, self.rank)

    def gate_rule(self, updates: int) -> Proximal:
        """How the gates move in a run of so many updates."""
        return Proximal(self.reach / updates, self.shrink * self.events / self.moving(updates))

    def moving(self, steps: int) -> int:
        """The step of a run of `steps` after which the ranks are fixed."""
        return max(1, int((1 - self.settle) * steps))

    def is_event(self, step: int, steps: int) -> bool:
        """Whether ranks move after step `step`, from 1, of `steps`."""
        moving = self.moving(steps)
        return step <= moving and step * self.events // moving > (step - 1) * self.events // moving

    def may_grow(self, step: int, steps: int) -> bool:
        """Whether ranks can be given at an event after step `step`."""
        return step <= self.moving(steps)

    def level(self, worth_R: tuple[float, ...], *, null: float, fresh: int, inputs: int, outputs: int) -> Level:
        """The numbers of a module by which a rank event decides."""
        most = min(self.greatest, inputs, outputs)
        return Level(valued(worth_R, null), fresh, self.price(inputs + outputs), max(most, len(worth_R)))

    def plan(self, levels: Levels, *, step: int, steps: int) -> RankPlan:
        """The moves after step `step` of `steps`."""
        return plan_by_water(levels, budget=self._budget(levels, step, steps), floor=self.floor)

    def weights(self, event: RankEvent, steps: int) -> dict[str, tuple[float, ...]]:
        """The weight of L1 on each component after an event, by module path: on those for which the budget of the next
        one has no room. 0 on new components, and after the last event."""
        following = next((later for later in range(event.step + 1, steps + 1) if self.is_event(later, steps)), None)
        if following is None:
            return {path: (0.0,) * rank for path, rank in event.ranks.items()}
        levels = {
            path: Level(valued(worth_R, event.null[path]), 0, self.price(event.cost[path]), 0)
            for path, worth_R in event.worth.items()
        }
        new = sum(count * levels[path].price for path, count in event.grown.items())
        weights = nominated(levels, budget=self._budget(levels, following, steps) - new, floor=self.floor)
        return {path: (*weight_R, *(0.0,) * event.grown.get(path, 0)) for path, weight_R in weights.items()}

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
        check_budget(self.rank, {path: (rank, self.price(cost)) for path, (rank, cost) in modules.items()})

    def check_events(self, steps: int) -> None:
        """Raises ValueError where the events do not fit a run of `steps`, or none is left after the last of them."""
        moving = self.moving(steps)
        if moving >= steps:
            raise ValueError(
                f"adapter.settle = {self.settle:g}: in a run of {steps} steps none is left after the last rank event, "
                "and what came in there would stay untrained; raise adapter.settle or steps"
            )
        if self.events > moving:
            raise ValueError(
                f"adapter.events = {self.events}: ranks move in the first {moving} of {steps} steps, and there is at "
                "most one event a step; lower adapter.events or raise steps"
            )

    def _budget(self, levels: Levels, step: int, steps: int) -> int:
        """From that of the start rank to that of `rank`, in a straight line over the steps in which ranks move."""
        share = min(1.0, step / self.moving(steps))
        rank = self.first_rank + (self.rank - self.first_rank) * share
        return int(rank * sum(level.price for level in levels.values()))
