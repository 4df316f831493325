"""The harder embedded task: `17+11+4-9=`, three sums or differences in a row, where a right answer is rare at first."""

from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from typing import Literal

from paring.settings.declare import settings
from paring.tasks.arithmetic import FIRST, LATER, score_sum, sum_problem, written
from paring.tasks.judge import JudgedTask
from paring.tasks.splits import Chance, draw_splits
from paring.types import Problem, Score, Split

LATER_TERMS = 3
INSIDE = range(100)


@settings
class Chains(JudgedTask):
    """`a±b±c±d=` with a in 1..99, the others in 1..19, and every result on the way in 0..99.

    Answer, reward and trait `working` are those of `arithmetic` (tasks/arithmetic.py); what makes the task hard is the
    base that goes with it, `embedded-chains`. 10,000 of the 2 million problems are drawn to train on, 500 to validate
    and 500 to test (tasks/splits.py).
    """

    name: Literal["chains"] = "chains"

    def problems(self, split: Split) -> Sequence[Problem]:
        return _splits()[split]

    def score(self, problem: Problem, text: str) -> Score:
        """As in `arithmetic`."""
        return score_sum(problem, text)


@cache
def _splits() -> dict[Split, Sequence[Problem]]:
    return draw_splits(lambda number: _draw(Chance(f"chains/{number}")))


def _draw(chance: Chance) -> tuple[str, Problem] | None:
    terms = [FIRST[chance.below(len(FIRST))]]
    for _ in range(LATER_TERMS):
        term = LATER[chance.below(len(LATER))]
        terms.append(-term if chance.below(2) else term)
    if any(result not in INSIDE for result in accumulate(terms)):
        return None
    return written(terms), sum_problem("chains", terms)
