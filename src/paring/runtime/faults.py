"""Rows that cannot be used: counted by kind, the first of each by file and line; a stop, or left out on record."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from paring.runtime.text import count_words, one_line
from paring.settings.complaints import DataError
from paring.types import Json

T = TypeVar("T")
Rule = Literal["stop", "skip"]
"""What a fault does: it stops the run before any work, or its row is left out."""
SHOWN = 5
"""Faults of a kind that are named."""
LONGEST_FAULT = 500


class RowFault(DataError):
    """A fault of one row: its place (`train.jsonl:17`), its kind, and what is wrong in words."""

    def __init__(self, place: str, kind: str, words: str) -> None:
        self.place, self.kind, self.words = place, kind, words
        super().__init__(f"{place}: {words}")

    def as_plain(self) -> dict[str, Json]:
        return {"place": self.place, "kind": self.kind, "why": self.words}


@dataclass
class Faults:
    """The faults of the rows that a run reads. `setting` says what is done about them, such as `task.broken`."""

    setting: str
    rule: Rule
    found: list[RowFault] = field(default_factory=list)

    def usable(self, values: Iterable[tuple[object, str]], read: Callable[[object, str], T]) -> list[T]:
        """What `read` makes of each value and its place; values that are faults, or raise one, are collected."""
        usable: list[T] = []
        for value, place in values:
            try:
                if isinstance(value, RowFault):
                    raise value
                usable.append(read(value, place))
            except RowFault as fault:
                self.found.append(fault)
        return usable

    def without_repeats(
        self,
        rows: Iterable[T],
        key: Callable[[T], Hashable],
        place: Callable[[T], str],
        what: str,
        known: Iterable[T] = (),
    ) -> list[T]:
        """The first row of each key. The others are faults, and so are rows whose key a `known` row has."""
        held_out = {key(row): place(row) for row in known}
        first: dict[Hashable, str] = {}
        kept: list[T] = []
        for row in rows:
            here, same = place(row), key(row)
            if same in held_out:
                words = f"the same {what} as {held_out[same]}, which is held out; keep one of them"
                self.found.append(RowFault(here, "shared by two splits", words))
            elif same in first:
                self.found.append(RowFault(here, "repeated", f"the same {what} as {first[same]}; keep one of them"))
            else:
                first[same] = here
                kept.append(row)
        return kept

    def check(self) -> None:
        """Raises ValueError where there are faults and the rule is to stop: one as it is, several by kind."""
        if self.found and self.rule == "stop":
            if len(self.found) == 1:
                raise self.found[0]
            raise DataError(f"{self.in_words()}\nMend them, or leave them out with {self.setting}=skip")

    def in_words(self) -> str:
        """Counts by kind, and the first of each."""
        return faults_in_words(self.found)


def faults_in_words(found: Sequence[RowFault]) -> str:
    """Counts by kind, and the first five of each, a line a fault."""
    lines = [f"{count_words(len(found), 'row')} cannot be used:"]
    for kind in dict.fromkeys(fault.kind for fault in found):
        of_kind = [fault for fault in found if fault.kind == kind]
        lines.append(f"  {len(of_kind):,} {kind}")
        lines += [f"    {one_line(str(fault), LONGEST_FAULT)}" for fault in of_kind[:SHOWN]]
        if len(of_kind) > SHOWN:
            lines.append(f"    and {len(of_kind) - SHOWN:,} more")
    return "\n".join(lines)
