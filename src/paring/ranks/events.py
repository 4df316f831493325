"""ranks.jsonl, read and checked: one event a line."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from paring.runtime.journal import read_rows


@dataclass(frozen=True)
class Event:
    """One line of ranks.jsonl: what was pruned and given, and the ranks after it."""

    step: int
    ranks: Mapping[str, int]
    unassigned: int
    """Left over after the event, in the unit of the budget."""
    pruned: Mapping[str, int]
    grown: Mapping[str, int]
    worth: Mapping[str, Sequence[float]]
    """KL in nats a token of removing each component; empty in records of before it was measured."""
    null: Mapping[str, float]
    """KL of an update of the same norm in a random direction."""
    closed: Mapping[str, int]
    """Components that L1 had closed, which are among those pruned."""
    cost: Mapping[str, int]
    growth: bool
    kl: float | None

    @property
    def before(self) -> dict[str, int]:
        """The ranks right before the event."""
        return {path: rank + self.pruned.get(path, 0) - self.grown.get(path, 0) for path, rank in self.ranks.items()}


def read_events(path: Path) -> tuple[Event, ...]:
    """The events in order, none where there is no such file. Raises ValueError with the event that is damaged."""
    rows = read_rows(path) if path.is_file() else ()
    return tuple(_event(row, f"{path}, event {number}") for number, row in enumerate(rows, start=1))


def check_record(start: dict[str, int], events: Iterable[Event], path: Path) -> None:
    """Raises ValueError where an event does not begin with the ranks that the one before it left."""
    ranks: Mapping[str, int] = start
    for event in events:
        before = event.before
        for name in sorted(ranks.keys() | before.keys()):
            if ranks.get(name) != before.get(name):
                raise ValueError(
                    f"{path}, step {event.step}: {name!a} has rank {event.ranks.get(name)}, which does not follow from "
                    f"{ranks.get(name)} before it: the file is not the whole record of this run"
                )
        ranks = event.ranks


def _event(row: dict[str, Any], where: str) -> Event:
    """Raises ValueError if the line is not of the agreed form."""
    for name in ("ranks", "pruned", "grown", "cost"):
        counts = row.get(name)
        if not isinstance(counts, dict) or any(type(count) is not int or count < 0 for count in counts.values()):
            raise ValueError(f"{where}: {name} must give a count, 0 or more, by module")
    kinds = {"step": int, "unassigned": int, "growth": bool, "kl": int | float | None}
    for name, kind in kinds.items():
        if name not in row or not isinstance(row[name], kind):
            raise ValueError(f"{where}: {name} is missing or of the wrong kind")
    if not row["ranks"] or row["cost"].keys() != row["ranks"].keys():
        raise ValueError(f"{where}: ranks and cost must name the same modules, at least one")
    later: dict[str, Any] = {"worth": {}, "null": {}, "closed": {}}
    if any(not isinstance(row.get(name, {}), dict) for name in later):
        raise ValueError(f"{where}: {', '.join(later)} must be given by module")
    return Event(**{field.name: (later | row)[field.name] for field in fields(Event)})
