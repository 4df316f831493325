"""A rank event on the adapters: what was seen of them in, adapters of other ranks and the record of it out."""

from collections.abc import Mapping
from typing import Protocol

from paring.adapters.attach import Adapters, apply_plan, gates_of, ranks_of
from paring.adapters.gradient_scores import GradientWatch
from paring.adapters.importance import Seen
from paring.adapters.kinds import Allocator, L1ra, L1raReference, Moving, Sora
from paring.adapters.ranks import Move, RankEvent, RankPlan, without_closed
from paring.adapters.rotation import Turn, turn


class Moments(Protocol):
    """An optimiser, as far as it has to follow the adapters."""

    def transplant(self, moves: Mapping[str, Move]) -> None:
        """Components went and came."""
        ...

    def turn(self, path: str, by: Turn) -> None:
        """The components of an adapter were turned."""
        ...

    def restart(self) -> None:
        """Forget all moments."""
        ...


def move_ranks(
    adapter: Moving,
    adapters: Adapters,
    seen: Mapping[str, Seen],
    moments: Moments,
    *,
    watch: GradientWatch | None = None,
    fresh: Mapping[str, int],
    step: int,
    steps: int,
    seed: int,
    matrices_lr: float,
) -> RankEvent:
    """The event after step `step` of `steps`, without its KL. `watch`: what the gradients have said, where the adapter
    asks for it; `fresh`: how many components of a module, its last, came in at the event before. New rows of A are a
    function of (seed, step, path)."""
    before = ranks_of(adapters)
    if isinstance(adapter, L1raReference | Sora):
        plan = adapter.plan(gates_of(adapters), matrices_lr=matrices_lr)
        lost = {path: before[path] - len(move.kept) for path, move in plan.moves.items()}
        closed, worth = {path: count for path, count in lost.items() if count}, _worth_of_kept(adapters, seen, plan)
    elif isinstance(adapter, Allocator):
        assert watch is not None, "the rule of an allocator looks at gradients"
        features = {path: (one.in_features, one.out_features) for path, one in adapters.items()}
        plan = adapter.plan(features, before, watch, step=step, steps=steps, seed=seed)
        closed, worth = {}, _worth_of_kept(adapters, seen, plan)
    else:
        closed, worth, plan = _by_worth(adapter, adapters, seen, moments, fresh, step=step, steps=steps)
    apply_plan(adapters, plan, adapter.draw, seed=seed, step=step)
    if isinstance(adapter, L1raReference) and plan.moves:
        moments.restart()
    else:
        moments.transplant(plan.moves)
    grown = {path: move.grown for path, move in plan.moves.items() if move.grown}
    after = ranks_of(adapters)
    lost = {path: before[path] + grown.get(path, 0) - rank for path, rank in after.items()}
    return RankEvent(
        step=step,
        ranks=after,
        unassigned=plan.unassigned,
        closed=closed,
        pruned={path: count for path, count in lost.items() if count},
        grown=grown,
        worth=worth,
        null={path: seen[path].null(one) for path, one in adapters.items()},
        cost={path: one.in_features + one.out_features for path, one in adapters.items()},
        kl=None,
        growth=adapter.may_grow(step, steps),
    )


def _worth_of_kept(adapters: Adapters, seen: Mapping[str, Seen], plan: RankPlan) -> dict[str, tuple[float, ...]]:
    """The worth of the components that stay, without those that go."""
    kept = {path: plan.moves[path].kept if path in plan.moves else range(one.rank) for path, one in adapters.items()}
    return {path: seen[path].only(places).worth_R() for path, places in kept.items()}


def _by_worth(
    adapter: L1ra,
    adapters: Adapters,
    seen: Mapping[str, Seen],
    moments: Moments,
    fresh: Mapping[str, int],
    *,
    step: int,
    steps: int,
) -> tuple[dict[str, int], dict[str, tuple[float, ...]], RankPlan]:
    """Remove what L1 has closed, turn what is left, and plan by one water level."""
    closing = without_closed(gates_of(adapters))
    closed = {path: adapters[path].rank - len(move.kept) for path, move in closing.items()}
    places = {path: closing[path].kept if path in closing else range(one.rank) for path, one in adapters.items()}
    young = {
        path: sum(place >= one.rank - fresh.get(path, 0) for place in places[path]) for path, one in adapters.items()
    }
    apply_plan(adapters, RankPlan(closing, 0), adapter.draw, seed=0, step=step)
    moments.transplant(closing)
    worth: dict[str, tuple[float, ...]] = dict.fromkeys(adapters, ())
    levels = {}
    for path, one in adapters.items():
        if one.rank:
            made = turn(one, seen[path].only(places[path]))
            moments.turn(path, made)
            worth[path] = made.worth_R
        levels[path] = adapter.level(
            worth[path],
            null=seen[path].null(one),
            fresh=young[path],
            inputs=one.in_features,
            outputs=one.out_features,
        )
    plan = adapter.plan(levels, step=step, steps=steps)
    stayed = {path: len(plan.moves[path].kept) if path in plan.moves else one.rank for path, one in adapters.items()}
    return closed, {path: worth[path][:count] for path, count in stayed.items()}, plan
