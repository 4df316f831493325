"""One water level over all modules: the components below it go, and what modules offer above it comes instead."""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt

from paring.adapters.ranks import Move, RankPlan

OFFERS = 4
"""New components that a module offers at an event, at most."""
DECAY = 0.5
"""An offer is worth this share of the component before it, for the spectrum of an update falls."""
MARGIN = 4.0
"""A component gives way to an offer of more than this multiple of its value: churn costs more than it gains."""
RENEWED = 0.15
"""The share of the budget that an event gives to new components, at most."""


@dataclass(frozen=True, slots=True)
class Level:
    """The numbers of one module that are compared with those of all others.

    value_R  what each component counts for (`valued`), largest first
    fresh    components that came in at the last event: as many stay, for they are hardly trained
    price    the part of the budget that one component takes
    most     the greatest rank that the module may have
    """

    value_R: tuple[float, ...]
    fresh: int
    price: int
    most: int


Levels = Mapping[str, Level]
"""By module path, in the model's order."""


def valued(worth_R: Sequence[float], null: float) -> tuple[float, ...]:
    """The value of each component of a module: v = w sqrt(W / N), in nats a token. `worth_R` has the KL w of removing
    each, W is their sum, and `null` is N, the KL of an update of the same norm in a random direction. All are 0 where
    there is no signal.

    A module with wide outputs that many tokens pass is worth much in any direction, so that KL alone sends ranks
    there. W / N measures the direction that training has chosen. Its root, since the ratio of one run is noisy: where
    all modules need the same, the whole ratio moves more ranks than it should."""
    aligned = sqrt(sum(worth_R) / null) if null else 0.0
    return tuple(worth * aligned for worth in worth_R)


def plan_by_water(levels: Levels, *, budget: int, floor: int) -> RankPlan:
    """Remove the components of the least value for their price, over all modules, until the rest fits the budget; then
    take the best offers for their price into what is free of it, or in place of components of much less value.

    No module comes below `floor`. What no module can take stays unassigned."""
    pool = _Pool.of(levels, budget, floor)
    while pool.queue and pool.free < 0:
        pool.drop()
    renewed = RENEWED * budget
    for bid, path in _offers(levels, pool.kept):
        price = levels[path].price
        if price > renewed or pool.kept[path] < len(levels[path].value_R) or pool.rank(path) >= levels[path].most:
            continue
        trial, loss = pool.copy(), 0.0
        while trial.queue and trial.free < price:
            loss += trial.drop()
        if trial.free >= price and bid * price > MARGIN * loss and trial.kept[path] == pool.kept[path]:
            pool, renewed = trial, renewed - price
            pool.free -= price
            pool.grown[path] = pool.grown.get(path, 0) + 1
    moves = {
        path: Move(tuple(range(pool.kept[path])), pool.grown.get(path, 0))
        for path, level in levels.items()
        if pool.kept[path] < len(level.value_R) or path in pool.grown
    }
    return RankPlan(moves, pool.free)


def nominated(levels: Levels, *, budget: int, floor: int) -> dict[str, tuple[float, ...]]:
    """The weight of L1 on each component, in [0, 1]: max(0, 1 - v / level), with v its value for its price and `level`
    that of the last component which would have to go for the rest to fit the budget. 0 where nothing has to go."""
    pool, level = _Pool.of(levels, budget, floor), 0.0
    while pool.queue and pool.free < 0:
        level = pool.queue[0][0]
        pool.drop()
    return {
        path: tuple(max(0.0, 1 - value / one.price / level) if level else 0.0 for value in one.value_R)
        for path, one in levels.items()
    }


@dataclass
class _Pool:
    """The components kept of each module, the free part of the budget, and each module's last component in a heap."""

    levels: Levels
    floor: int
    kept: dict[str, int]
    free: int
    grown: dict[str, int] = field(default_factory=dict)
    queue: list[tuple[float, int, int, str]] = field(default_factory=list)

    @classmethod
    def of(cls, levels: Levels, budget: int, floor: int) -> "_Pool":
        kept = {path: len(level.value_R) for path, level in levels.items()}
        pool = cls(levels, floor, kept, budget - sum(kept[path] * level.price for path, level in levels.items()))
        for number, path in enumerate(levels):
            pool._enqueue(number, path)
        return pool

    def copy(self) -> "_Pool":
        return _Pool(self.levels, self.floor, dict(self.kept), self.free, dict(self.grown), list(self.queue))

    def rank(self, path: str) -> int:
        return self.kept[path] + self.grown.get(path, 0)

    def drop(self) -> float:
        """Drop the component of the least value for its price; its value."""
        value, _, number, path = heapq.heappop(self.queue)
        self.kept[path] -= 1
        self.free += self.levels[path].price
        self._enqueue(number, path)
        return value * self.levels[path].price

    def _enqueue(self, number: int, path: str) -> None:
        """Smallest value first; in ties, as without any signal, from the module of the highest rank."""
        level, kept = self.levels[path], self.kept[path]
        if kept > max(self.floor, level.fresh):
            heapq.heappush(self.queue, (level.value_R[kept - 1] / level.price, -kept, number, path))


def _offers(levels: Levels, kept: Mapping[str, int]) -> list[tuple[float, str]]:
    """(value for its price, path), best first; of modules that lost nothing, and have nothing new to try."""
    offers = [
        (level.value_R[-1] * DECAY**number / level.price, path)
        for path, level in levels.items()
        if level.value_R and not level.fresh and kept[path] == len(level.value_R)
        for number in range(1, OFFERS + 1)
    ]
    return sorted((offer for offer in offers if offer[0] > 0), key=lambda offer: -offer[0])
