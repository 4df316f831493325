"""Controls: objectives that have lost the signal and nothing else. A gain under them is none of right answers.

paring train quickstart objective.kind=custom objective.path=examples/controls.py:Shuffled
"""

from torch import Tensor

from paring.maths.advantages import Outcome, standardised
from paring.maths.objective import Objective


class Shuffled(Objective):
    """RGRA in which every answer has the advantage of the next one of its group, which is one at random: members of a
    group are exchangeable."""

    def advantage(self, outcome: Outcome) -> Tensor:
        return standardised(outcome.reward_PG).roll(1, dims=-1)


class OtherProblems(Objective):
    """RGRA on the rewards of the next problem's answers: as often right as those, whatever is answered."""

    def advantage(self, outcome: Outcome) -> Tensor:
        return standardised(outcome.reward_PG.roll(1, dims=0))
