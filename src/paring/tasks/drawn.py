"""Problems that are drawn, not read: distinct, and cut into splits by a hash of each problem's key."""

from collections.abc import Callable, Sequence

from paring.tasks.order import digest
from paring.types import Problem, Split

HELD_OUT_ONE_IN = 8
MOST_DRAWS = 400_000
SIZES: dict[Split, int] = {"train": 10_000, "validation": 500, "test": 500}


class Chance:
    """Numbers that depend on a name and on nothing else: the same on every machine and in every version of Python."""

    def __init__(self, name: str):
        self._name = name
        self._drawn = 0

    def below(self, bound: int) -> int:
        """A number from 0 to less than `bound`, all as likely (to one part in 2^64 / bound)."""
        self._drawn += 1
        return int(digest(f"{self._name}/{self._drawn}"), 16) % bound


def draw_splits(draw: Callable[[int], tuple[str, Problem] | None]) -> dict[Split, Sequence[Problem]]:
    """10,000 problems to train on, 500 to validate and 500 to test, each in the order in which they were drawn.

    `draw` makes the problem of a number 0, 1, 2 ... from that number alone, with the key of what it asks, or None
    where the number gives none. Of problems with the same key the first is kept. One key in eight, chosen by its
    hash, is held out, and one bit of the hash says whether it is validated or tested: so which split a problem is in
    depends on what it asks and on nothing else. Raises ValueError where 400,000 numbers do not give enough.
    """
    splits: dict[Split, dict[str, Problem]] = {split: {} for split in SIZES}
    for number in range(MOST_DRAWS):
        drawn = draw(number)
        if drawn is not None:
            key, problem = drawn
            split = split_of(key)
            if len(splits[split]) < SIZES[split]:
                splits[split].setdefault(key, problem)
            elif all(len(splits[other]) == SIZES[other] for other in SIZES):
                return {split: tuple(problems.values()) for split, problems in splits.items()}
    found = sum(map(len, splits.values()))
    raise ValueError(f"only {found:,} different problems in {MOST_DRAWS:,} draws: widen the ranges of the task")


def split_of(key: str) -> Split:
    """The split of the problems with a key."""
    held_out, place = divmod(int(digest(key), 16), HELD_OUT_ONE_IN)
    if place:
        return "train"
    return "test" if held_out % 2 else "validation"
