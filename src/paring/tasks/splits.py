"""Order and splits by hash, the same on every machine and for every order of a file; and problems that are drawn."""

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import TypeVar

from paring.runtime.text import count_words
from paring.settings.complaints import DataError
from paring.types import Problem, Split

T = TypeVar("T")
HELD_OUT_ONE_IN = 8
MOST_DRAWS = 400_000
SIZES: dict[Split, int] = {"train": 10_000, "validation": 500, "test": 500}
"""Problems of a task that draws them."""


def digest(text: str, seed: int = 0) -> str:
    """16 hexadecimal digits that depend on nothing but the seed and the text: blake2b of `seed`, a newline, `text`."""
    return blake2b(f"{seed}\n{text}".encode(), digest_size=8).hexdigest()


def hash_order(items: Iterable[T], text_of: Callable[[T], str], seed: int = 0) -> list[T]:
    """The items by the digest of their text; the first n are a draw of n without replacement.

    Adding or removing an item leaves the order of the others as it is.
    """
    return sorted(items, key=lambda item: digest(text_of(item), seed))


def hold_out(rows: Iterable[T], text_of: Callable[[T], str], *, parts: int, source: str) -> list[list[T]]:
    """The rows in hash order of their text, cut into `parts` held-out parts and the rest, which is trained on.

    A part is an eighth of the rows, at least one; rows of the same text stay together.
    Raises ValueError that names the `source` where the rest would be empty.
    """
    ordered = hash_order(rows, text_of)
    texts = [text_of(row) for row in ordered]
    eighth = max(1, len(ordered) // HELD_OUT_ONE_IN)
    cuts = [0]
    for _ in range(parts):
        cut = cuts[-1] + eighth
        while cut < len(texts) and texts[cut] == texts[cut - 1]:
            cut += 1
        cuts.append(cut)
    if cuts[-1] >= len(ordered):
        raise DataError(
            f"{source}: {count_words(len(ordered), 'row')}, at least {parts + 1} with different prompts are needed to "
            "train on some and hold some out: add rows"
        )
    return [ordered[start:end] for start, end in zip(cuts, [*cuts[1:], None], strict=True)]


def three_splits(
    rows: Iterable[T], text_of: Callable[[T], str], tested: list[T] | None, source: str
) -> dict[Split, list[T]]:
    """The rows by split. `tested` is the test split, or else the first eighth of the rows; the next is validation.

    Raises ValueError as `hold_out` does.
    """
    if tested is not None:
        validation, train = hold_out(rows, text_of, parts=1, source=source)
        return {"train": train, "validation": validation, "test": tested}
    test, validation, train = hold_out(rows, text_of, parts=2, source=source)
    return {"train": train, "validation": validation, "test": test}


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

    `draw` makes the problem of a number 0, 1, 2 ... from that number alone, with the key of its question, or None
    where the number gives none. The first of several problems with one key is kept. The key alone decides the split,
    see `split_of`. Raises ValueError where 400,000 numbers do not give enough.
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
    count = sum(map(len, splits.values()))
    raise ValueError(f"only {count:,} different problems in {MOST_DRAWS:,} draws: widen the ranges of the task")


def split_of(key: str) -> Split:
    """The split of the problems with a key: one key in eight is held out, and the next bit of its hash says where."""
    held_out, place = divmod(int(digest(key), 16), HELD_OUT_ONE_IN)
    if place:
        return "train"
    return "test" if held_out % 2 else "validation"
