"""A task of your own is data and its check.

    paring train quickstart task.path=examples/own_task.py:Change

Within half a minute the embedded model goes from about 38 % right answers to more than 99 %.
"""

import random
import re
from collections.abc import Sequence

from paring.types import Problem, Score, Split

PURCHASES = [(paid, first, second) for paid in range(40, 100) for first in range(2, 20) for second in range(2, first)]
random.Random(0).shuffle(PURCHASES)
SPLITS = {"test": PURCHASES[:500], "validation": PURCHASES[500:1000], "train": PURCHASES[1000:]}


class Change:
    """Two things are bought: how much change is there? `87-12-9=` is 66. The splits share no purchase."""

    name = "change"

    def problems(self, split: Split) -> Sequence[Problem]:
        """The problems of a split, always in the same order."""
        return [problem(*purchase) for purchase in SPLITS[split]]

    def score(self, problem: Problem, text: str) -> Score:
        """The sum of the parts is the reward. Traits are counted, but not rewarded."""
        answer = re.search(r"<answer>([0-9]{1,9})</answer>$", text)
        correct = answer is not None and answer[1] == problem.gold
        return Score({"right": float(correct), "form": 0.1 * bool(answer)}, correct, traits={"working": "=" in text})


def problem(paid: int, first: int, second: int) -> Problem:
    question = f"{paid}-{first}-{second}="
    return Problem(f"change/{question}", ({"role": "user", "content": question},), gold=str(paid - first - second))
