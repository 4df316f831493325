"""How a budget becomes ranks, from numbers alone: the rules of other papers, to be compared with L1RA's."""

import heapq
from collections.abc import Mapping, Sequence

from paring.adapters.ranks import Move, RankPlan

Scores = Mapping[str, Sequence[float]]
"""A number for each component, by module path, in the model's order."""
Prices = Mapping[str, int]
"""The share of the budget that one rank takes, by module path."""


def cubic_budget(first: float, last: float, *, step: int, begin: int, end: int) -> float:
    """b = last + (first - last) (1 - (t - begin) / (end - begin))^3 between `begin` and `end`; `first` before, `last`
    after      (AdaLoRA, arXiv 2303.10512, sec. 3.3)"""
    if step <= begin:
        return first
    return last + (first - last) * (1 - (step - begin) / (end - begin)) ** 3 if step < end else last


def plan_by_score(scores: Scores, prices: Prices, budget: float) -> RankPlan:
    """Remove the components of the lowest scores, over all modules, until the rest costs at most `budget`; in ties the
    later ones      (AdaLoRA, eq. 6, where a component's price is 1)"""
    order = sorted(
        (
            (score, -module, -place, path)
            for module, path in enumerate(scores)
            for place, score in enumerate(scores[path])
        )
    )
    spent = sum(len(score_R) * prices[path] for path, score_R in scores.items())
    gone: dict[str, set[int]] = {}
    for _, _, place, path in order:
        if spent <= budget:
            break
        gone.setdefault(path, set()).add(-place)
        spent -= prices[path]
    moves = {
        path: Move(tuple(place for place in range(len(scores[path])) if place not in places), 0)
        for path, places in gone.items()
    }
    return RankPlan(moves, int(budget - spent))


def proportional_ranks(
    weights: Mapping[str, float], prices: Prices, most: Mapping[str, int], budget: int
) -> dict[str, int]:
    """Ranks in proportion to the weights, whose prices sum to at most `budget`: one rank after another goes to the
    module with the highest weight / (rank + 1), in ties in the model's order, as long as it can be paid and the module
    has fewer than `most` (the highest averages of d'Hondt)."""
    ranks = dict.fromkeys(weights, 0)
    queue = [(-weight, number, path) for number, (path, weight) in enumerate(weights.items()) if weight > 0]
    heapq.heapify(queue)
    while queue:
        _, number, path = heapq.heappop(queue)
        if ranks[path] == most[path] or prices[path] > budget:
            continue  # this module takes no more, which others still may
        ranks[path] += 1
        budget -= prices[path]
        heapq.heappush(queue, (-weights[path] / (ranks[path] + 1), number, path))
    return ranks


def plan_to(now: Mapping[str, int], ranks: Mapping[str, int], unassigned: int) -> RankPlan:
    """From the ranks of now to these: the first components stay, new ones follow."""
    return RankPlan(
        {
            path: Move(tuple(range(min(now[path], rank))), max(0, rank - now[path]))
            for path, rank in ranks.items()
            if rank != now[path]
        },
        unassigned,
    )
